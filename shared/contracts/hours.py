"""Weekly hours and holidays, as people write them."""

from collections.abc import Mapping
from datetime import date as Day
from functools import lru_cache
from typing import Annotated, Self

import holidays
from pydantic import Field, StringConstraints, model_validator

from shared.contracts.spec import Spec, Strict

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY, MINUTES_A_WEEK = 1440, 10080
MAX_INTERVALS = 12  # a day
MAX_DATES = 400  # extra or excepted dates of one calendar

Wall = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
Hours = Annotated[tuple[tuple[Wall, Wall], ...], Field(max_length=MAX_INTERVALS)]


def minutes(wall: str) -> int:
    hour, minute = wall.split(":")
    return int(hour) * 60 + int(minute)


class ExtraDay(Strict):
    """A holiday of one's own; its name is shown where a deadline passes over it."""

    date: Day
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "extra holiday"


class HolidaysSpec(Spec):
    """The official holidays of a place, without the dates of ``except``, and with those of ``extra``."""

    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None  # ISO 3166-1 alpha-2
    subdivision: Annotated[str, StringConstraints(min_length=1, max_length=10)] | None = None  # DE: "BY"
    except_: Annotated[tuple[Day, ...], Field(alias="except", max_length=MAX_DATES)] = ()
    extra: Annotated[tuple[Day | ExtraDay, ...], Field(max_length=MAX_DATES)] = ()

    @model_validator(mode="after")
    def _known_place(self) -> Self:
        if self.country is None:
            if self.subdivision is not None or self.except_:
                raise ValueError("`subdivision` and `except` need a `country`")
            return self
        supported = holidays.list_supported_countries()  # reads every country's file: not where none is named
        if self.country not in supported:
            raise ValueError(
                f"no holidays are known for country {self.country!r}. Write an ISO 3166-1 code such as IE."
            )
        if self.subdivision is not None and self.subdivision not in supported[self.country]:
            known = ", ".join(supported[self.country]) or "none"
            raise ValueError(f"{self.country} has no subdivision {self.subdivision!r}. Known: {known}.")
        return self


@lru_cache(maxsize=4096)
def official(country: str, subdivision: str | None, year: int) -> Mapping[Day, str]:
    """The official holidays of a place in one year, by date."""
    found = holidays.country_holidays(country, subdiv=subdivision, years=year, expand=False)
    return dict(found.items())


def checked(weekly: dict[str, Hours], what: str) -> dict[str, Hours]:
    """Hours that open at all and do not overlap. Raises ``ValueError``; ``what`` is whose they are."""
    if unknown := sorted(set(weekly) - set(DAYS)):
        raise ValueError(f"{unknown[0]!r} is not a day. Write {', '.join(DAYS)}.")
    if not any(weekly.values()):
        raise ValueError(f'{what} never opens. Give at least one day an interval such as ["09:00", "17:00"].')
    _refuse_overlaps(weekly)
    return weekly


def _refuse_overlaps(weekly: dict[str, Hours]) -> None:
    """Intervals must be apart, also over midnight into the next day, and from Sunday into Monday."""
    spans: list[tuple[int, int, str]] = []
    for number, day in enumerate(DAYS):
        for opens, closes in weekly.get(day, ()):
            since, until = minutes(opens), minutes(closes)
            if since in (until, MINUTES_A_DAY):
                raise ValueError(f'{day} {opens}–{closes} has no length. A whole day is ["00:00", "24:00"].')
            until += MINUTES_A_DAY if until < since else 0
            spans.append((number * MINUTES_A_DAY + since, number * MINUTES_A_DAY + until, f"{day} {opens}–{closes}"))
    spans.sort()
    first = spans[0]
    following = [*spans[1:], (first[0] + MINUTES_A_WEEK, first[1] + MINUTES_A_WEEK, first[2])]
    for (_, until, one), (since, _, other) in zip(spans, following, strict=True):
        if since < until:
            raise ValueError(f"{one} and {other} overlap. Join them, or move one.")
