"""Policies: compiled, put in order, and matched to a case; and which of them were in force when. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from services.sla import calendar
from services.sla.model import Calendar, Configuration, Edition, Opening, Policy, Promise, Terms
from services.sla.model.spec import ALWAYS, CalendarSpec, PolicySpec
from services.sla.model.walk import Context
from shared.conditions import ATTRIBUTES, STRING, STRINGS, Activation, Condition, Environment
from shared.contracts import duration
from shared.contracts.words import Metric

ALWAYS_NAME = "24x7"
MAX_EDITIONS = 2_000  # the oldest of those kept also stands for all before it

ENVIRONMENT = Environment(
    {
        "case.priority": STRING,
        "case.team": STRING,
        "case.tags": STRINGS,
        "contact.channel": STRING,
        "contact.source": STRING,
        "contact.language": STRING,
        "contact.reason": STRING,
        "contact.tags": STRINGS,
        "contact.attributes": ATTRIBUTES,
        "contact.customer.id": STRING,
        "contact.customer.email": STRING,
        "contact.customer.tier": STRING,
        "contact.customer.country": STRING,
    }
)
BUILT_IN = calendar.compiled(ALWAYS_NAME, 0, ALWAYS)  # there even where it is not stored


@dataclass(frozen=True, slots=True)
class Tried:
    """One policy held against a case; ``reason`` says why it did not match."""

    policy: Policy
    matched: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a configured object; ``body`` is None where it was deleted."""

    at: datetime  # it was written
    kind: str  # "calendar" or "policy"
    name: str
    version: int
    body: Mapping[str, Any] | None


@lru_cache(maxsize=4096)
def _condition(source: str) -> Condition:
    """Compile the condition of a stored policy. Raises ``ConditionError``."""
    return ENVIRONMENT.accepted(source)


def compiled(name: str, version: int, spec: PolicySpec, calendars: Mapping[str, Calendar]) -> Policy:
    """Raises ``ConditionError``, and ``KeyError`` for a calendar that is not there."""
    promises: dict[Metric, Promise] = {}
    for target in spec.targets:
        hours = calendars[target.calendar]
        terms = Terms(
            within=duration.parse(target.within),
            calendar=hours.name,
            zone=hours.zone,
            policy=name,
            policy_version=version,
            calendar_version=hours.version,
            warn_at=target.warnings,
            overdue_at=target.overdue,
            pause_on=target.pauses,
        )
        promises[target.metric] = Promise(terms, hours)
    return Policy(name, version, spec.position, _condition(spec.when), promises)


def configuration(version: int, stored: Iterable[Stored]) -> Configuration:
    """The editions that a history of edits makes, in order of time. Edits of one instant are one edition."""
    calendars: dict[str, Calendar] = {ALWAYS_NAME: BUILT_IN}
    counted: dict[str, Calendar] = {}  # also those deleted, while a policy that a later one replaces counts by them
    specs: dict[str, tuple[int, PolicySpec]] = {}
    known: dict[tuple[str, int, tuple[tuple[str, int], ...]], Policy] = {}
    editions: list[Edition] = []
    for at, each in sorted(_effective(stored), key=lambda s: (s[0], s[1].kind, s[1].name, s[1].version)):
        if each.kind == "calendar":
            before = calendars.pop(each.name, None)
            if each.body is not None:
                spec = CalendarSpec.model_validate(each.body)
                calendars[each.name] = calendar.compiled(each.name, each.version, spec, before)
            calendars.setdefault(ALWAYS_NAME, BUILT_IN)
            counted |= calendars
        elif each.body is None:
            specs.pop(each.name, None)
        else:
            specs[each.name] = each.version, PolicySpec.model_validate(each.body)
        delayed = at > each.at
        if editions and editions[-1].since == at:
            delayed = editions.pop().delayed or delayed
        now = _in_order(specs, {ALWAYS_NAME: BUILT_IN} | counted, known)
        old = {id(policy) for policy in (editions[-1].policies if editions else ())}
        fresh = tuple(policy for policy in now if id(policy) not in old)
        editions.append(Edition(at, now, dict(calendars), fresh, delayed))
    if not editions:
        editions = [Edition(datetime.min.replace(tzinfo=UTC), (), calendars)]
    return Configuration(version, tuple(editions[-MAX_EDITIONS:]), calendar.LIBRARIES)


def _effective(stored: Iterable[Stored]) -> list[tuple[datetime, Stored]]:
    """Each version with when it took effect; without those that a later one replaced before that."""
    found: dict[tuple[str, str], list[tuple[datetime, Stored]]] = {}
    for each in sorted(stored, key=lambda s: s.version):
        at, versions = each.at, found.setdefault((each.kind, each.name), [])
        if each.kind == "policy" and each.body and (asked := each.body.get("effective_from")):
            at = max(at, datetime.fromisoformat(asked).astimezone(UTC))
        while each.kind == "policy" and versions and versions[-1][0] >= at:
            versions.pop()
        versions.append((at, each))
    return [each for versions in found.values() for each in versions]


def _in_order(
    specs: Mapping[str, tuple[int, PolicySpec]],
    calendars: Mapping[str, Calendar],
    known: dict[tuple[str, int, tuple[tuple[str, int], ...]], Policy],
) -> tuple[Policy, ...]:
    policies = []
    for name, (version, spec) in specs.items():
        uses = tuple((target.calendar, calendars[target.calendar].version) for target in spec.targets)
        key = name, version, uses
        if key not in known:
            known[key] = compiled(name, version, spec, calendars)
        policies.append(known[key])
    return tuple(sorted(policies, key=lambda policy: policy.order))


def in_force(configuration: Configuration, at: datetime) -> int:
    """Which of the editions was in force at an instant."""
    return max(bisect_right(configuration.editions, at, key=lambda edition: edition.since) - 1, 0)


def activation(opened: Opening, context: Context) -> Activation:
    """The values that conditions ask about."""
    return ENVIRONMENT.activation(_values(opened, context))


def match(edition: Edition, values: Any) -> Policy | None:
    """The first policy, by position, whose condition holds."""
    return next((each for each in edition.policies if each.condition.evaluate(values).holds), None)


def rematch(edition: Edition, values: Any, was: Policy | None) -> Policy | None:
    """The same as ``match``, where ``was`` matched the same values in the edition before: looks at what is new."""
    if was is not None and not edition.has(was):
        return match(edition, values)
    fresh = edition.fresh if was is None else [each for each in edition.fresh if each.order < was.order]
    return next((each for each in fresh if each.condition.evaluate(values).holds), was)


def tried(edition: Edition, opened: Opening, context: Context) -> list[Tried]:
    """Every policy up to the one that matches, with the reason where it does not."""
    values = activation(opened, context)
    found: list[Tried] = []
    for policy in edition.policies:
        outcome = policy.condition.evaluate(values)
        reason = None if outcome.holds else outcome.reason or f"{policy.condition.source} is false"
        found.append(Tried(policy, outcome.holds, reason))
        if outcome.holds:
            break
    return found


def _values(opened: Opening, context: Context) -> dict[str, Any]:
    return {
        "case.priority": context.priority.value,
        "case.team": context.team,
        "case.tags": list(context.tags),
        "contact.channel": opened.channel.value,
        "contact.source": opened.source,
        "contact.language": opened.language,
        "contact.reason": opened.reason,
        "contact.tags": list(opened.tags),
        "contact.attributes": dict(opened.attributes),
        "contact.customer.id": opened.customer_id,
        "contact.customer.email": opened.customer_email,
        "contact.customer.tier": opened.customer_tier,
        "contact.customer.country": opened.customer_country,
    }
