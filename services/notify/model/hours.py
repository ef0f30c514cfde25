"""Hours of a week, as people write them, and as windows of minutes. Pure."""

from collections.abc import Mapping
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints

from services.notify.model.rota import MINUTES_A_DAY, MINUTES_A_WEEK, Window

MAX_WINDOWS = 12  # of one day

_ZONES = frozenset(available_timezones())

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Wall = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
WallEnd = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


def _zone(text: str) -> str:
    if text not in _ZONES:
        raise ValueError(f"{text!r} is not an IANA time zone. Write one such as Europe/Dublin.")
    return text


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]


def _days(weekly: Mapping[str, object]) -> Mapping[str, object]:
    if unknown := sorted(set(weekly) - set(DAYS)):
        raise ValueError(f"{unknown[0]!r} is not a day. Write {', '.join(DAYS)}.")
    if not any(weekly.values()):
        raise ValueError('write at least one day, such as {"mon": …}')
    return weekly


def _apart(weekly: dict[str, tuple[tuple[str, str], ...]]) -> dict[str, tuple[tuple[str, str], ...]]:
    _days(weekly)
    spans = sorted(_spans(weekly))
    following = [*spans[1:], (spans[0][0] + MINUTES_A_WEEK, 0)]
    if any(until > later for (_, until), (later, _) in zip(spans, following, strict=True)):
        raise ValueError("two of the intervals overlap. Join them, or move one.")
    return weekly


def _spans(weekly: Mapping[str, tuple[tuple[str, str], ...]]) -> list[Window]:
    """In minutes of the week; an interval that ends before it starts ends on the next day."""
    found = []
    for number, day in enumerate(DAYS):
        for opens, closes in weekly.get(day, ()):
            since, until = _minutes(opens), _minutes(closes)
            if since == until:
                raise ValueError(f'{day} {opens}–{closes} has no length. A whole day is ["00:00", "24:00"].')
            until += MINUTES_A_DAY if until < since else 0
            found.append((number * MINUTES_A_DAY + since, number * MINUTES_A_DAY + until))
    return found


def _minutes(wall: str) -> int:
    hour, minute = wall.split(":")
    return int(hour) * 60 + int(minute)


WeeklyHours = Annotated[
    dict[str, Annotated[tuple[tuple[Wall, WallEnd], ...], Field(max_length=MAX_WINDOWS)]], AfterValidator(_apart)
]
WeeklyTimes = Annotated[
    dict[str, Annotated[tuple[Wall, ...], Field(max_length=MAX_WINDOWS)]], AfterValidator(_days)
]  # at least one


def windows(weekly: Mapping[str, tuple[tuple[str, str], ...]] | None) -> tuple[Window, ...] | None:
    """Weekly hours as windows, those that touch joined, also from Sunday to Monday. None where that is always."""
    if weekly is None:
        return None
    found: list[Window] = []
    for since, until in sorted(_spans(weekly)):
        if found and found[-1][1] == since:
            found[-1] = found[-1][0], until
        else:
            found.append((since, until))
    if found[-1][1] == found[0][0] + MINUTES_A_WEEK:
        if len(found) == 1:
            return None
        found[-1] = found[-1][0], found[0][1] + MINUTES_A_WEEK
        del found[0]
    return tuple(found)


def times(weekly: Mapping[str, tuple[str, ...]]) -> tuple[int, ...]:
    """Weekly times of day as minutes of the week, in order."""
    return tuple(
        sorted({n * MINUTES_A_DAY + _minutes(wall) for n, day in enumerate(DAYS) for wall in weekly.get(day, ())})
    )
