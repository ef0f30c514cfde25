"""A clock as a row of its table, and back."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from services.sla.model import Clock, Firing, Held, Level, Pause, Terms
from shared.contracts.envelope import Because
from shared.contracts.words import ClockState, Metric, Status

_levels, _pauses = TypeAdapter(tuple[Level, ...]), TypeAdapter(tuple[Pause, ...])
_earlier = TypeAdapter(tuple[Held, ...])
_shares, _statuses = TypeAdapter(tuple[float, ...]), TypeAdapter(tuple[Status, ...])

_PROMISE = ("within", "calendar", "zone", "policy", "policy_version", "calendar_version")
_TERMS = (*_PROMISE, "warn_at", "overdue_at", "pause_on")
_FIRING = (
    *("warned_share", "warned_fired_at", "breach_announced_at", "breach_fired_at"),
    *("overdue_share", "overdue_fired_at"),
)
_FIRST = ("id", "case_id", "metric", "instance", "state", "started_at")
_REST = ("promised_at", "due_at", "levels", "pauses", "team", "history", "libraries", "ended_at", "met_at")
_LAST = ("breached_at", "warned_at", "overdue", *_FIRING, "earlier", "because", "version", "announced")
_COLUMNS = (*_FIRST, *_TERMS, *_REST, *_LAST)
_JSON = ("warn_at", "pause_on", "overdue_at", "levels", "pauses", "earlier", "because")


def columns(table: str) -> str:
    """What to select, in the order that ``clock_of`` reads. JSON as text: the driver has nothing to do with it."""
    return ", ".join(f"CAST({table}.{name} AS text)" if name in _JSON else f"{table}.{name}" for name in _COLUMNS)


CLOCK = columns("clock")


@lru_cache(maxsize=4096)  # clocks that start together have the same
def levels(json: str) -> tuple[Level, ...]:
    return _levels.validate_json(json)


def clock_of(row: Sequence[Any]) -> Clock:
    """The clock in a row of ``columns``."""
    clock_id, case_id, metric, instance, state, started_at = row[:6]
    promised_at, due_at, levels, pauses, team, history, libraries, ended_at, met_at = row[15:24]
    breached_at, warned_at, overdue, *firing = row[24:33]
    earlier, because, version, announced = row[33:]
    return Clock(
        id=clock_id,
        case_id=case_id,
        metric=Metric(metric),
        instance=instance,
        state=ClockState(state),
        started_at=started_at,
        terms=_terms(*row[6:15]),
        promised_at=promised_at,
        due_at=due_at,
        levels=() if levels == "[]" else _levels.validate_json(levels),
        pauses=() if pauses == "[]" else _pauses.validate_json(pauses),
        team=team,
        history=history,
        libraries=libraries,
        ended_at=ended_at,
        met_at=met_at,
        breached_at=breached_at,
        warned_at=warned_at,
        overdue=overdue,
        firing=Firing(*firing),
        earlier=() if earlier == "[]" else _earlier.validate_json(earlier),
        because=Because.model_validate_json(because),
        version=version,
        announced=announced,
    )


@lru_cache(maxsize=4096)
def _terms(within: Any, *rest: Any) -> Terms:
    """A few promises are made over and over. The values are in the order of ``_TERMS``."""
    calendar, zone, policy, version, calendar_version, *levels, pauses = rest
    warn_at, overdue_at = (_shares.validate_json(each) for each in levels)
    statuses = _statuses.validate_json(pauses)
    return Terms(within, calendar, zone, policy, version, calendar_version, warn_at, overdue_at, statuses)


def of_clock(clock: Clock) -> dict[str, Any]:
    terms = clock.terms
    same = (*_FIRST[:2], "instance", "started_at", "promised_at", "due_at", "team", "history", "libraries", "ended_at")
    return (
        {name: getattr(clock, name) for name in (*same, "met_at")}
        | {name: getattr(terms, name) for name in _PROMISE}
        | {
            "metric": clock.metric.value,
            "warn_at": _shares.dump_json(terms.warn_at),
            "pause_on": _statuses.dump_json(terms.pause_on),
            "overdue_at": _shares.dump_json(terms.overdue_at),
            "earlier": _earlier.dump_json(clock.earlier) if clock.earlier else b"[]",
            "levels": _levels.dump_json(clock.levels) if clock.levels else b"[]",
            "pauses": _pauses.dump_json(clock.pauses) if clock.pauses else b"[]",
        }
        | of_firing(clock)
    )


def of_firing(clock: Clock) -> dict[str, Any]:
    """What a timer that fires changes, with the key."""
    firing = clock.firing
    return {
        "id": clock.id,
        "state": clock.state.value,
        "warned_at": clock.warned_at,
        "breached_at": clock.breached_at,
        "overdue": clock.overdue,
        "overdue_share": firing.overdue_share,
        "overdue_fired_at": firing.overdue_fired_at,
        "warned_share": firing.warned_share,
        "warned_fired_at": firing.warned_fired_at,
        "breach_announced_at": firing.breached_at,
        "breach_fired_at": firing.breach_fired_at,
        "because": clock.because.model_dump_json().encode(),
        "version": clock.version,
        "announced": clock.announced,
    }


def only_fired(was: Clock, clock: Clock) -> bool:
    """Whether nothing differs but what ``of_firing`` writes: a decision about a timer leaves the rest as it is."""
    return (
        was.terms is clock.terms
        and was.levels is clock.levels
        and was.pauses is clock.pauses
        and was.earlier is clock.earlier
        and was.due_at is clock.due_at
        and was.ended_at is clock.ended_at
        and was.met_at is clock.met_at
        and (was.started_at, was.promised_at, was.team, was.history, was.libraries)
        == (clock.started_at, clock.promised_at, clock.team, clock.history, clock.libraries)
    )
