"""Who is meant by the events of a calendar. Pure.

An attendee counts by the email address of a person; else the summary does, where it has the name, the label or the
address of a person as words of their own, such as ``On call: Ana``. Several people may be named.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from services.notify.model.rota import CalendarEvent, CalendarLayer, Span
from services.notify.model.specs import PersonSpec
from services.notify.oncall.turns import tiled
from services.notify.oncall.wall import instant


def layer_of(
    source: str, events: Iterable[CalendarEvent], people: Mapping[str, PersonSpec], zone: ZoneInfo
) -> CalendarLayer:
    """The shifts that a calendar stands for. ``zone``: on whose wall its floating times are."""
    emails = {spec.email.lower(): name for name, spec in sorted(people.items(), reverse=True) if spec.email}
    called = _called(people)
    pattern = _pattern(called)
    spans, strangers = [], []
    for event in events:
        start, end = _at(event.start, zone), _at(event.end, zone)
        named = {emails[address] for address in event.attendees if address in emails}
        if not named and pattern is not None:
            named = {called[found.casefold()] for found in pattern.findall(event.summary)}
        if named:
            spans.append(Span(start, end, tuple(sorted(named))))
        else:
            strangers.append(replace(event, start=start, end=end))
    return CalendarLayer(source, tiled(spans), tuple(strangers))


def _at(moment: datetime, zone: ZoneInfo) -> datetime:
    return instant(moment, zone) if moment.tzinfo is None else moment


def _called(people: Mapping[str, PersonSpec]) -> dict[str, str]:
    """What people are called, and who that is; a name goes before another's label."""
    labels = {each.casefold(): name for name, spec in people.items() for each in (spec.label, spec.email) if each}
    return labels | {name.casefold(): name for name in people}


def _pattern(called: Mapping[str, str]) -> re.Pattern[str] | None:
    """Any of the words, the longest first, so that ``Ana Li`` is not two people."""
    if not called:
        return None
    longest = sorted(called, key=lambda each: (-len(each), each))
    return re.compile(rf"(?<![\w.@-])(?:{'|'.join(map(re.escape, longest))})(?![\w@]|[.-]\w)", re.IGNORECASE)
