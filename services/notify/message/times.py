"""In whose time a message speaks, and how it says an instant. Pure."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from services.notify.model import CaseState, Clock, Delivery
from services.notify.oncall.targets import named
from shared.contracts import duration


@dataclass(frozen=True, slots=True)
class Reader:
    """``own``: it is one person's own zone, so that "your time" is true."""

    zone: ZoneInfo
    own: bool


def reader_of(state: CaseState, delivery: Delivery, clock: Clock) -> Reader:
    """The reader's own zone where we know it; else that of the calendar or of a schedule, rather than UTC."""
    kind, _, name = delivery.target.partition(":")
    if kind == "person":
        person = state.configuration.people.get(name)
        if person is not None and person.time_zone:
            return Reader(ZoneInfo(person.time_zone), True)
    elif kind == "destination":
        spec = named(state.configuration, name)
        if spec is not None and spec.time_zone:
            return Reader(ZoneInfo(spec.time_zone), False)
    if clock.time_zone == "UTC":
        for schedule in _schedules(state, delivery):
            return Reader(state.configuration.schedules[schedule].schedule.zone, False)
    return Reader(ZoneInfo(clock.time_zone), False)


def _schedules(state: CaseState, delivery: Delivery) -> list[str]:
    """The schedule that the delivery came by, then those of the page's policy; such as exist."""
    kind, _, via = (delivery.via or "").partition(":")
    found = [via] if kind == "schedule" else []
    if state.page is not None:
        found += [e.schedule for step in state.page.policy.spec.steps for e in step.notify if e.schedule]
    return [name for name in found if name in state.configuration.schedules]


def due(clock: Clock, reader: Reader, now: datetime) -> str:
    """``03:03 your time (02:03 Dublin): 15 min from 02:48, 24×7``"""
    hours = "24×7" if clock.calendar == "24x7" else f"in {clock.calendar} hours"
    length = duration.words(duration.parse(clock.within))
    at = clock.breached_at or clock.due_at
    if at is None:
        return f"not while the clock is paused: {length}, {hours}"
    if reader.zone.key == "UTC" and not reader.own:  # nobody's zone is known: say how far away it is
        distance = f"{duration.words(now - at)} ago" if at <= now else f"in {duration.words(at - now)}"
        return f"{distance} ({when(at, reader, now)} UTC): {length}, {hours}"
    text = f"{when(at, reader, now)} {'your time' if reader.own else place(reader.zone)}"
    calendar = Reader(ZoneInfo(clock.time_zone), False)
    if clock.time_zone != "UTC" and at.astimezone(reader.zone).utcoffset() != at.astimezone(calendar.zone).utcoffset():
        text += f" ({when(at, calendar, now)} {place(calendar.zone)})"
    return f"{text}: {length} from {when(clock.started_at, reader, now)}, {hours}"


def place(zone: ZoneInfo) -> str:
    """``Dublin`` for Europe/Dublin."""
    return zone.key.rpartition("/")[2].replace("_", " ")


def when(at: datetime, reader: Reader, now: datetime) -> str:
    """``03:13``, with the day where it is not today."""
    local, today = at.astimezone(reader.zone), now.astimezone(reader.zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M}"
