"""Events of a calendar with their repetitions counted out: RRULE, RDATE, EXDATE, and changed or cancelled instances.

Rules are counted on the wall of the zone in which the event begins, and an instance lasts as long on that wall as the
first one does: a night from 20:00 to 08:00 stays one when the clocks change in it.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import icalendar
from dateutil.rrule import rrulestr

from services.notify.model.rota import CalendarEvent
from services.notify.oncall.wall import instant

MAX_EVENTS = 5_000  # a calendar with more is refused
MAX_ATTENDEES = 20
MAX_SUMMARY = 200  # characters

_DAY = timedelta(days=1)


class Unreadable(Exception):
    """The file is no calendar that we can use. The text says why."""


def counted(calendar: icalendar.Calendar, since: datetime, until: datetime) -> list[CalendarEvent]:
    """The events that overlap [since, until), in order. Raises ``Unreadable``, and what icalendar raises."""
    components = [each for each in calendar.walk("VEVENT") if "DTSTART" in each]
    changed: dict[str, dict[datetime, Any]] = {}
    masters = []
    for each in components:
        if "RECURRENCE-ID" in each:
            changed.setdefault(str(each.get("UID", "")), {})[_key(each.decoded("RECURRENCE-ID"))] = each
        else:
            masters.append(each)
    floating = _zone_of(calendar)
    found: list[CalendarEvent] = []
    instances = [(each, _instances(each, changed.get(str(each.get("UID", "")), {}), until)) for each in masters]
    instances += [(each, iter([_span(each)])) for of in changed.values() for each in of.values()]
    for event, spans in instances:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        zone = _zone(event) or floating
        for start, end in spans:
            made = CalendarEvent(_utc(start, zone), _utc(end, zone), _summary(event), _attendees(event))
            if made.start < made.end and _aware(made.start) < until and _aware(made.end) > since:
                found.append(made)
            if len(found) > MAX_EVENTS:
                raise Unreadable(f"the calendar has more than {MAX_EVENTS} events in two years: make it smaller")
    return sorted(found, key=lambda e: (_aware(e.start), _aware(e.end), e.summary, e.attendees))


def _instances(event: Any, changed: dict[datetime, Any], until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Start and end of each instance on the event's own wall, without those that were moved, changed or left out.

    The first is one whether its rule has it or not, as calendar apps show it.
    """
    start, end = _span(event)
    length, zone = end - start, _zone(event)
    out, whole_days = _left_out(event, zone)
    extra = {_wall(each, zone) for each in _listed(event, "RDATE")}
    last = until.astimezone(UTC).replace(tzinfo=None) + 2 * _DAY
    rules = event.get("RRULE", [])
    rules = rules if isinstance(rules, list) else [rules]
    seen: set[datetime] = set()
    for begins in (*_ruled(rules, start, zone, last), *sorted(extra), start):
        replaced = _key(begins if zone is None else begins.replace(tzinfo=zone)) in changed
        if begins not in seen and not replaced and begins not in out and begins.date() not in whole_days:
            seen.add(begins)
            yield begins, begins + length


def _ruled(rules: list[Any], start: datetime, zone: tzinfo | None, last: datetime) -> Iterator[datetime]:
    for rule in rules:
        ends = [_last_moment(each, zone) for each in rule.get("UNTIL", [])]
        parts = {name: value for name, value in rule.items() if name.upper() != "UNTIL"}
        written: bytes = icalendar.vRecur(parts).to_ical()
        for begins in rrulestr(written.decode(), dtstart=start):
            if begins > min([last, *ends]):
                break
            yield begins


def _last_moment(until: date, zone: tzinfo | None) -> datetime:
    """A rule that ends on a day includes that day."""
    return _wall(until, zone) if isinstance(until, datetime) else datetime.combine(until, time.max)


def _left_out(event: Any, zone: tzinfo | None) -> tuple[set[datetime], set[date]]:
    """Moments, and days: a day leaves out whatever begins on it."""
    found = _listed(event, "EXDATE")
    days = {each for each in found if not isinstance(each, datetime)}
    return {_wall(each, zone) for each in found if isinstance(each, datetime)}, days


def _listed(event: Any, name: str) -> list[date]:
    given = event.get(name, [])
    lists = given if isinstance(given, list) else [given]
    moments = [each.dt for of in lists for each in of.dts]
    return [each[0] if isinstance(each, tuple) else each for each in moments]  # of a period, its start


def _span(event: Any) -> tuple[datetime, datetime]:
    """Start and end on the event's own wall. A day without an end lasts until midnight."""
    start, zone = event.decoded("DTSTART"), _zone(event)
    if "DTEND" in event:
        return _wall(start, zone), _wall(event.decoded("DTEND"), zone)
    length = event.decoded("DURATION") if "DURATION" in event else timedelta(0)
    if not isinstance(start, datetime):
        length = length or _DAY
    return _wall(start, zone), _wall(start, zone) + length


def _zone(event: Any) -> tzinfo | None:
    start = event.decoded("DTSTART")
    return start.tzinfo if isinstance(start, datetime) else None


def _zone_of(calendar: icalendar.Calendar) -> tzinfo | None:
    """The zone of floating times, where the calendar names one."""
    name = str(calendar.get("X-WR-TIMEZONE", ""))
    return ZoneInfo(name) if name in available_timezones() else None


def _wall(at: date, zone: tzinfo | None) -> datetime:
    if not isinstance(at, datetime):
        return datetime.combine(at, time())
    if at.tzinfo is None or zone is None:
        return at.replace(tzinfo=None)
    return at.astimezone(zone).replace(tzinfo=None)


def _key(at: date) -> datetime:
    """An instance by when it would have begun: comparable however it is written."""
    if not isinstance(at, datetime):
        return datetime.combine(at, time())
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo is not None else at


def _utc(wall: datetime, zone: tzinfo | None) -> datetime:
    """An instant; still naive where no zone is known."""
    if zone is None:
        return wall
    return instant(wall, zone) if isinstance(zone, ZoneInfo) else wall.replace(tzinfo=zone).astimezone(UTC)


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _summary(event: Any) -> str:
    return " ".join(str(event.get("SUMMARY", "")).split())[:MAX_SUMMARY]


def _attendees(event: Any) -> tuple[str, ...]:
    """Who has not declined."""
    given = event.get("ATTENDEE", [])
    found = {
        str(each).lower().removeprefix("mailto:")
        for each in (given if isinstance(given, list) else [given])
        if str(getattr(each, "params", {}).get("PARTSTAT", "")).upper() != "DECLINED"
    }
    return tuple(sorted(found)[:MAX_ATTENDEES])
