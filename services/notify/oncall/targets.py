"""From the names in an escalation step to people and places that can be reached. Pure."""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import islice

from services.notify import oncall
from services.notify.model import CATCH_ALL, Configuration, Policy, Target, Way
from services.notify.model.escalation import DEFAULT_POLICY
from services.notify.model.specs import (
    CONSOLE,
    DEFAULT,
    DEFAULT_DESTINATION,
    AnyDestination,
    ConsoleSpec,
    EmailSpec,
    NotifySpec,
    On,
    OpsgenieSpec,
    PagerDutySpec,
    PersonSpec,
    SlackSpec,
    WebhookSpec,
)

NEXT_WITHIN = timedelta(days=31)  # how far ahead the next person of a schedule is looked for
MAX_NEXT_SHIFTS = 200

NOWHERE = Target(
    CATCH_ALL, (Way(CATCH_ALL, CATCH_ALL), Way("console", "console"))
)  # the catch-all; at last the console


def policy_of(configuration: Configuration, team: str | None) -> tuple[Policy, str]:
    """The escalation policy that serves a team, and why it is this one."""
    for name, policy in sorted(configuration.policies.items()):
        if team is not None and team in policy.spec.teams:
            return policy, f"escalation policy {name} serves team {team}"
    default = configuration.policies.get(DEFAULT) or Policy(DEFAULT, 0, DEFAULT_POLICY)
    if team is None:
        return default, "the case has no team yet, so escalation policy default applies"
    return default, f"no escalation policy names team {team}, so default applies"


def resolve(
    configuration: Configuration, entries: Iterable[NotifySpec], at: datetime
) -> tuple[list[Target], list[str]]:
    """Everybody whom the entries reach at an instant, each once, and why some reach nobody."""
    found: dict[str, Target] = {}
    troubles: list[str] = []
    for entry in entries:
        targets, wrong = _entry(configuration, entry, at)
        troubles += wrong
        for target in targets:
            found.setdefault(target.key, target)
    return list(found.values()), troubles


def _entry(configuration: Configuration, entry: NotifySpec, at: datetime) -> tuple[list[Target], list[str]]:
    if entry.kind == "destination":
        return _listed(destination(configuration, entry.name))
    if entry.kind == "person":
        return _listed(person(configuration, entry.name, None))
    if entry.kind == "schedule":
        return _on_call(configuration, entry.name, at)
    return _team(configuration, entry.name, at)


def _listed(one: Target | str) -> tuple[list[Target], list[str]]:
    return ([], [one]) if isinstance(one, str) else ([one], [])


def destination(configuration: Configuration, name: str) -> Target | str:
    spec = named(configuration, name)
    if spec is None:
        return f"there is no destination {name}"
    if name in configuration.off:
        return f"destination {name} is switched off: {configuration.off[name]}"
    return Target(f"destination:{name}", (_way(name, spec),))


def lane_of(name: str, spec: AnyDestination) -> str:
    """The lane of a destination's messages."""
    return _way(name, spec).lane


def _way(name: str, spec: AnyDestination) -> Way:
    match spec:
        case SlackSpec():
            return Way("slack", f"slack:{spec.channel}")
        case EmailSpec():
            return Way("email", f"email:{','.join(sorted(spec.to))}")
        case WebhookSpec():
            return Way("webhook", f"webhook:{name}")  # by name: an address may hold a secret
        case PagerDutySpec() | OpsgenieSpec():
            return Way(spec.kind, f"{spec.kind}:{name}")
        case ConsoleSpec():
            return Way("console", "console")


def person(configuration: Configuration, name: str, via: str | None) -> Target | str:
    spec = configuration.people.get(name)
    if spec is None:
        return f"there is no person {name}"
    ways = ways_of(spec)
    if not ways:
        return f"{name} has neither slack_user nor email"
    return Target(f"person:{name}", ways, via)


def ways_of(spec: PersonSpec) -> tuple[Way, ...]:
    """How a person is reached, the preferred way first."""
    slack = [Way("slack", f"slack:{spec.slack_user}")] if spec.slack_user else []
    email = [Way("email", f"email:{spec.email}")] if spec.email else []
    return (*slack, *email)


def _on_call(configuration: Configuration, name: str, at: datetime) -> tuple[list[Target], list[str]]:
    rota = configuration.schedules.get(name)
    if rota is None:
        return [], [f"there is no schedule {name}"]
    shifts = oncall.on_call(rota.schedule, rota.overrides, at)
    if not shifts:
        return [], [f"nobody is on call in schedule {name}"]
    found = [person(configuration, shift.person, f"schedule:{name}") for shift in shifts]
    return [each for each in found if isinstance(each, Target)], [each for each in found if isinstance(each, str)]


def following(configuration: Configuration, schedule: str, at: datetime, tried: AbstractSet[str]) -> Target | None:
    """Who is next on a schedule after ``at``, can be reached, and was not tried; None where nobody is, for a month."""
    rota = configuration.schedules.get(schedule)
    if rota is None:
        return None
    shifts = oncall.through(rota.schedule, rota.overrides, at, at + NEXT_WITHIN)
    for shift in islice(shifts, MAX_NEXT_SHIFTS):
        if shift.person not in tried:
            found = person(configuration, shift.person, f"schedule:{schedule}")
            if isinstance(found, Target):
                return found
    return None


def _team(configuration: Configuration, name: str, at: datetime) -> tuple[list[Target], list[str]]:
    """A team's members are told; where none is known, the way its own policy tells it first of a breach."""
    found = [person(configuration, each, f"team:{name}") for each in members(configuration, name)]
    if found:
        return [e for e in found if isinstance(e, Target)], [e for e in found if isinstance(e, str)]
    policy, _ = policy_of(configuration, name)
    entries = [
        entry
        for step in policy.spec.steps
        if step.on == On.BREACHED and not step.delay
        for entry in step.notify
        if entry.kind != "team"  # one level: policies that name each other's teams end here
    ]
    if not entries:
        return [], [f"escalation policy {policy.name} tells nobody at once about a breach, so team {name} is not told"]
    targets, troubles = resolve(configuration, entries, at)
    return [Target(each.key, each.ways, each.via or f"team:{name}") for each in targets], troubles


def members(configuration: Configuration, team: str) -> list[str]:
    """The people who say that they belong to a team, in order."""
    return sorted(name for name, spec in configuration.people.items() if team in spec.teams)


def again(configuration: Configuration, key: str) -> Target | str:
    """A target by its key, as it stands now; or why it cannot be reached any more."""
    if key == CATCH_ALL:
        return NOWHERE
    kind, _, name = key.partition(":")
    return person(configuration, name, None) if kind == "person" else destination(configuration, name)


def address(configuration: Configuration, key: str, way: str, catch_all: str) -> AnyDestination | str:
    """Where to send, as configured now, or why nowhere. ``catch_all`` is a destination's name or an email address."""
    if key == CATCH_ALL:
        return DEFAULT_DESTINATION if way == CONSOLE else named(configuration, catch_all) or _written(catch_all)
    kind, _, name = key.partition(":")
    if kind == "person" and (spec := configuration.people.get(name)) is not None:
        if way == "slack" and spec.slack_user:
            return SlackSpec(kind="slack", channel=spec.slack_user)
        if way == "email" and spec.email:
            return EmailSpec(kind="email", to=(spec.email,))
        return f"{name} is not reached by {way} any more"
    return named(configuration, name) or f"there is no destination {name}"


def _written(catch_all: str) -> AnyDestination | str:
    try:
        return EmailSpec(kind="email", to=(catch_all,))
    except ValueError:
        return f"CATCH_ALL is {catch_all}, which is neither a destination's name nor an email address"


def named(configuration: Configuration, name: str) -> AnyDestination | None:
    """A destination by name; the console always exists."""
    return configuration.destinations.get(name) or (DEFAULT_DESTINATION if name == "console" else None)


def title(configuration: Configuration, key: str) -> str:
    """A target as people call it: ``Ana``, ``#payments-alerts``."""
    kind, _, name = key.partition(":")
    if key == CATCH_ALL:
        return "the catch-all"
    if kind == "person":
        return person_title(configuration, name)
    spec = configuration.destinations.get(name)
    if isinstance(spec, SlackSpec) and spec.label is None and spec.channel.startswith("#"):
        return spec.channel
    return (spec.label if spec else None) or name


def person_title(configuration: Configuration, name: str) -> str:
    """A person as people say it; any other name as it is."""
    spec = configuration.people.get(name)
    if spec is None or spec.label:
        return (spec.label if spec else None) or name
    return " ".join(part.capitalize() for part in re.split(r"[._-]", name) if part) or name
