"""Shifts as iCalendar, for calendar apps: times in UTC, so that no app needs our zones."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import icalendar

from services.notify.model.rota import Shift
from shared.contracts.identity import derived

FRESH_FOR = timedelta(hours=1)  # how often an app should come again


def feed(title: str, found: Iterable[tuple[str, Shift, str]], now: datetime) -> bytes:
    """A calendar of shifts, each with its schedule and what its event is called.

    The UID of a shift is made of schedule, person and beginning, so it stays when the shift is cut short.
    """
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Tocsin//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", title)
    calendar.add("refresh-interval", FRESH_FOR, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", f"PT{FRESH_FOR // timedelta(hours=1)}H")
    for schedule, shift, summary in found:
        event = icalendar.Event()
        event.add("uid", f"{derived(schedule, shift.person, shift.start.isoformat())}@tocsin")
        event.add("dtstamp", now)
        event.add("dtstart", shift.start)
        event.add("dtend", shift.end)
        event.add("summary", summary)
        event.add("transp", "TRANSPARENT")  # on call is not busy
        calendar.add_component(event)
    written: bytes = calendar.to_ical()
    return written
