"""What is configured but cannot work, found before it bites. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.notify.model import CATCH_ALL, Configuration, Rota
from services.notify.model.specs import EmailSpec, NotifySpec, On, SlackSpec, WebhookSpec
from services.notify.oncall import gaps, shifts
from services.notify.oncall.targets import address, named, ways_of

LOOK_AHEAD = timedelta(days=30)
MAX_GAPS = 3  # named for one schedule


@dataclass(frozen=True, slots=True)
class Trouble:
    """``kind`` and ``name`` say what is wrong, ``text`` why it cannot work and what to do."""

    kind: str
    name: str
    text: str


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


def problems(configuration: Configuration, outside: Outside, now: datetime) -> list[Trouble]:
    """Everything found, in order of kind and name."""
    return [
        *_people(configuration, outside),
        *_destinations(configuration, outside),
        *_schedules(configuration, now),
        *_policies(configuration),
        *_catch_all(configuration, outside),
    ]


def _people(configuration: Configuration, outside: Outside) -> Iterator[Trouble]:
    for name, spec in sorted(configuration.people.items()):
        ways = ways_of(spec)
        lacking = [why for way in ways if (why := outside.missing(way.kind))]
        if not ways:
            yield Trouble("person", name, "cannot be reached: write a slack_user or an email")
        elif len(lacking) == len(ways):
            yield Trouble("person", name, f"cannot be reached: {' and '.join(lacking)}")


def _destinations(configuration: Configuration, outside: Outside) -> Iterator[Trouble]:
    for name, spec in sorted(configuration.destinations.items()):
        if isinstance(spec, SlackSpec | EmailSpec) and (why := outside.missing(spec.kind)):
            yield Trouble("destination", name, f"cannot be reached: {why}")
        if isinstance(spec, WebhookSpec) and spec.secret is None:
            yield Trouble("destination", name, "has no secret to sign with: PUT it with one")


def _schedules(configuration: Configuration, now: datetime) -> Iterator[Trouble]:
    for name, rota in sorted(configuration.schedules.items()):
        unknown = sorted(_named_in(rota) - configuration.people.keys())
        for person in unknown:
            yield Trouble("schedule", name, f"names {person}, who does not exist: PUT the person, or take the name out")
        free = list(gaps(rota.schedule, rota.overrides, now, now + LOOK_AHEAD))
        for start, end in free[:MAX_GAPS]:
            span = f"from {_wall(rota, start)} until {_wall(rota, end)}"
            yield Trouble("schedule", name, f"has nobody on call {span}: add a layer or an override")
        if len(free) > MAX_GAPS:
            yield Trouble("schedule", name, f"has {len(free) - MAX_GAPS} more gaps in the next {LOOK_AHEAD.days} days")
        soon = {shift.person for shift in shifts(rota.schedule, rota.overrides, now, now + LOOK_AHEAD)}
        for person in sorted(soon & configuration.people.keys()):
            if not ways_of(configuration.people[person]):
                yield Trouble("schedule", name, f"has {person} on call, who cannot be reached")


def _named_in(rota: Rota) -> set[str]:
    people = {person for layer in rota.schedule.layers for person in layer.people}
    return people | {override.person for override in rota.overrides}


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
