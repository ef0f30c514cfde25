"""What is configured but cannot work, found before it bites. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from services.notify.model import CATCH_ALL, Configuration, Rota
from services.notify.model.rota import CalendarLayer
from services.notify.model.specs import KEYED, EmailSpec, NotifySpec, On, PersonSpec, SlackSpec
from services.notify.oncall import gaps, shifts
from services.notify.oncall.targets import address, named, ways_of
from shared.contracts import duration

LOOK_AHEAD = timedelta(days=30)
MAX_GAPS = 3  # named for one schedule
MAX_GAPS_COUNTED = 100


@dataclass(frozen=True, slots=True)
class Trouble:
    """``kind`` and ``name`` say what is wrong, ``text`` why it cannot work and what to do; ``at``: from when."""

    kind: str
    name: str
    text: str
    at: datetime | None = None
    gap: bool = False  # nobody is on call from then on


@dataclass(frozen=True, slots=True)
class Outside:
    """What the settings provide for."""

    slack: bool
    email: bool
    catch_all: str

    def missing(self, way: str) -> str | None:
        if way == "slack" and not self.slack:
            return "SLACK_TOKEN is not set"
        if way == "email" and not self.email:
            return "SMTP_URL is not set"
        return None


def problems(
    configuration: Configuration, outside: Outside, now: datetime, ahead: timedelta = LOOK_AHEAD
) -> list[Trouble]:
    """Everything found, in order of kind and name."""
    return [
        *_people(configuration, outside),
        *_destinations(configuration, outside),
        *_schedules(configuration, outside, now, ahead),
        *_policies(configuration),
        *_catch_all(configuration, outside),
    ]


def _people(configuration: Configuration, outside: Outside) -> Iterator[Trouble]:
    for name, spec in sorted(configuration.people.items()):
        if why := _unreachable(spec, outside):
            yield Trouble("person", name, f"cannot be reached: {why}")


def _destinations(configuration: Configuration, outside: Outside) -> Iterator[Trouble]:
    for name, spec in sorted(configuration.destinations.items()):
        if isinstance(spec, SlackSpec | EmailSpec) and (why := outside.missing(spec.kind)):
            yield Trouble("destination", name, f"cannot be reached: {why}")
        if isinstance(spec, KEYED) and spec.secret is None:
            yield Trouble("destination", name, "has no secret: PUT it with one")
        if name in configuration.off:
            yield Trouble("destination", name, f"is switched off: {configuration.off[name]}")


def _schedules(configuration: Configuration, outside: Outside, now: datetime, ahead: timedelta) -> Iterator[Trouble]:
    for name in sorted(configuration.schedules):
        yield from of_schedule(configuration, name, outside, now, ahead)


def of_schedule(
    configuration: Configuration, name: str, outside: Outside, now: datetime, ahead: timedelta = LOOK_AHEAD
) -> Iterator[Trouble]:
    """What is wrong with one schedule, now and in the time ahead."""
    rota, until = configuration.schedules[name], now + ahead
    for person in sorted(_named_in(rota, now) - configuration.people.keys()):
        yield Trouble("schedule", name, f"names {person}, who does not exist: PUT the person, or take the name out")
    for number, layer in enumerate(rota.schedule.layers, 1):
        if isinstance(layer, CalendarLayer):
            yield from _calendar(configuration, name, number, layer, now, until)
        elif not layer.people:
            yield Trouble("schedule", name, f"has no people in layer {number}, so nobody is on call in its turns")
    free = list(islice(gaps(rota.schedule, rota.overrides, now, until), MAX_GAPS_COUNTED + 1))
    for start, end in free[:MAX_GAPS]:
        text = f"has nobody on call {_gap(rota, start, end, now)}: add a layer or an override"
        yield Trouble("schedule", name, text, start if start > now else None, gap=True)
    if len(free) > MAX_GAPS:
        more = f"{len(free) - MAX_GAPS}" if len(free) <= MAX_GAPS_COUNTED else f"more than {MAX_GAPS_COUNTED}"
        yield Trouble("schedule", name, f"has {more} more gaps in the next {ahead.days} days")
    soon: dict[str, datetime] = {}
    for shift in shifts(rota.schedule, rota.overrides, now, until):
        soon.setdefault(shift.person, shift.start)
    for person in sorted(soon.keys() & configuration.people.keys()):
        if why := _unreachable(configuration.people[person], outside):
            since = "now" if soon[person] <= now else f"from {_wall(rota, soon[person])}"
            yield Trouble("schedule", name, f"has {person} on call {since}, who cannot be reached: {why}", soon[person])


def _calendar(
    configuration: Configuration, name: str, number: int, layer: CalendarLayer, now: datetime, until: datetime
) -> Iterator[Trouble]:
    zone = configuration.schedules[name].schedule.zone
    calendar = configuration.calendars.get(layer.source)
    if calendar is not None and calendar.error is not None:
        since = calendar.fetched_at
        copy = f"the copy of {since.astimezone(zone):%d %b %Y %H:%M %Z} counts" if since else "there is no copy yet"
        yield Trouble("schedule", name, f"cannot read the calendar of layer {number}: {calendar.error}; {copy}")
    elif calendar is not None and calendar.fetched_at is None:
        yield Trouble("schedule", name, f"has not read the calendar of layer {number} yet: that takes a minute")
    ahead = [each for each in layer.strangers if each.end > now and each.start < until]
    for event in ahead[:MAX_GAPS]:
        what = f"{event.summary!r} of {event.start.astimezone(zone):%d %b %Y %H:%M %Z}"
        yield Trouble(
            "schedule",
            name,
            f"has an event that names nobody we know in layer {number}: {what};"
            " write the name, label or email of a person into its title, or invite them",
            event.start,
        )
    if len(ahead) > MAX_GAPS:
        yield Trouble("schedule", name, f"has {len(ahead) - MAX_GAPS} more such events in layer {number}")


def _named_in(rota: Rota, now: datetime) -> set[str]:
    """Whom the layers name, and the overrides that are not over."""
    layers = [layer for layer in rota.schedule.layers if not isinstance(layer, CalendarLayer)]
    people = {person for layer in layers for person in layer.people}
    return people | {override.person for override in rota.overrides if override.end > now}


def _unreachable(spec: PersonSpec, outside: Outside) -> str | None:
    ways = ways_of(spec)
    lacking = [why for way in ways if (why := outside.missing(way.kind))]
    if not ways:
        return "write a slack_user or an email"
    return " and ".join(lacking) if len(lacking) == len(ways) else None


def _gap(rota: Rota, start: datetime, end: datetime, now: datetime) -> str:
    """``on 2026-12-26 00:00–09:00 Dublin, in 12 days``"""
    zone = rota.schedule.zone
    since, until = start.astimezone(zone), end.astimezone(zone)
    last = f"{until:%H:%M}" if since.date() == until.date() else f"{until:%Y-%m-%d %H:%M}"
    place = zone.key.rpartition("/")[2].replace("_", " ")
    if start <= now:
        return f"now, until {until:%Y-%m-%d %H:%M} {place}"
    return f"on {since:%Y-%m-%d %H:%M}–{last} {place}, in {duration.words(start - now)}"


def _wall(rota: Rota, at: datetime) -> str:
    return f"{at.astimezone(rota.schedule.zone):%d %b %Y %H:%M %Z}"


def _policies(configuration: Configuration) -> Iterator[Trouble]:
    for name, policy in sorted(configuration.policies.items()):
        if not any(step.on == On.BREACHED for step in policy.spec.steps):
            yield Trouble("escalation-policy", name, "has no step on breaches: they go to the catch-all at once")
        entries = [entry for step in policy.spec.steps for entry in step.notify]
        for what in unknown_names(configuration, entries):
            yield Trouble("escalation-policy", name, f"names {what}, which does not exist")
    served: dict[str, str] = {}
    for name, policy in sorted(configuration.policies.items()):
        for team in policy.spec.teams:
            if team in served:
                yield Trouble("escalation-policy", name, f"names team {team}, as {served[team]} does, which serves it")
            served.setdefault(team, name)


def unknown_names(configuration: Configuration, entries: Iterable[NotifySpec]) -> list[str]:
    """Which names of the entries stand for nothing."""
    return sorted({f"{each.kind} {each.name}" for each in entries if not _exists(configuration, each)})


def _exists(configuration: Configuration, entry: NotifySpec) -> bool:
    if entry.kind == "destination":
        return named(configuration, entry.name) is not None
    if entry.kind == "person":
        return entry.name in configuration.people
    return entry.kind == "team" or entry.name in configuration.schedules  # teams are routing's


def _catch_all(configuration: Configuration, outside: Outside) -> Iterator[Trouble]:
    found = address(configuration, CATCH_ALL, CATCH_ALL, outside.catch_all)
    why = found if isinstance(found, str) else outside.missing(found.kind)
    if why:
        yield Trouble("catch-all", outside.catch_all, f"{why}; an exhausted page is drawn on the console instead")
