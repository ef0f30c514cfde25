"""The table of metrics: what starts, meets, cancels and pauses each clock. It is the rules themselves. Pure data.

``decide/history.py`` walks a case's facts through this table; docs/sla.md shows the same rows, and a test compares
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.contracts.words import Metric, Status


class Moment(StrEnum):
    """What happens to a case, as far as any clock cares; the value says it for people."""

    RECEIVED = "Tocsin receives the case"
    WROTE = "the customer writes"
    ASKED = "the customer writes, and nobody has replied yet"
    ASKED_AGAIN = "the customer writes after a reply"
    REPLIED = "an agent replies in public"
    TAKEN = "somebody takes the case, or acknowledges its page"
    PLACED = "the case goes to its first team"
    HANDED_OFF = "the case goes to another team"
    HELD = "the case is put on hold"
    RELEASED = "the hold ends"
    SOLVED = "the case is solved or closed"
    REOPENED = "the case is reopened"
    MERGED = "the case is merged into another"


class Counts(StrEnum):
    """Which time of a case a clock counts."""

    TOTAL = "total"
    REQUESTER_WAIT = "requester_wait"
    AGENT_WORK = "agent_work"


class Needs(StrEnum):
    """Without which a clock does not start."""

    CUSTOMER = "the customer has written"
    TEAM = "a team has the case"


PAUSES: Mapping[Counts, tuple[Status, ...]] = {
    Counts.TOTAL: (),
    Counts.REQUESTER_WAIT: (Status.PENDING,),
    Counts.AGENT_WORK: (Status.ON_HOLD, Status.PENDING),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. A moment that ends a clock and starts it too (``resets``) makes the next instance."""

    metric: Metric
    promised: str  # the subject of a sentence: "The first reply is due …"
    starts: frozenset[Moment]
    meets: frozenset[Moment]
    cancels: frozenset[Moment]
    needs: Needs | None = None
    counts: Counts | None = None  # unless the policy says otherwise; None: it never pauses
    of_its_team: bool = False  # it stays with the team it began with, also after a hand-off

    @property
    def resets(self) -> frozenset[Moment]:
        return self.starts & (self.meets | self.cancels)


def _row(
    metric: Metric, promised: str, starts: str, meets: str, cancels: str,
    needs: Needs | None = None, counts: Counts | None = None, of_its_team: bool = False,
) -> Rule:  # fmt: skip
    started, met, cancelled = (frozenset(Moment[name] for name in names.split()) for names in (starts, meets, cancels))
    return Rule(metric, promised, started, met, cancelled, needs, counts, of_its_team)


RULES: Mapping[Metric, Rule] = {
    rule.metric: rule
    for rule in (
        _row(Metric.FIRST_REPLY, "The first reply", "ASKED", "REPLIED", "SOLVED MERGED"),
        _row(Metric.NEXT_REPLY, "The next reply", "ASKED_AGAIN", "REPLIED", "SOLVED MERGED"),
        _row(
            Metric.UPDATE,
            "The next update",
            *("REPLIED", "REPLIED", "SOLVED MERGED"),
            needs=Needs.CUSTOMER,
            counts=Counts.TOTAL,
        ),
        _row(
            Metric.RESOLUTION,
            "A solution",
            *("WROTE REOPENED", "SOLVED", "MERGED"),
            needs=Needs.CUSTOMER,
            counts=Counts.REQUESTER_WAIT,
        ),
        _row(
            Metric.PICKUP,
            "Pickup by the team",
            *("PLACED HANDED_OFF", "TAKEN REPLIED", "HANDED_OFF SOLVED MERGED"),
            of_its_team=True,
        ),
        _row(
            Metric.TEAM_WAIT,
            "The team's part",
            *("PLACED HANDED_OFF REOPENED", "HANDED_OFF SOLVED", "MERGED"),
            needs=Needs.TEAM,
            counts=Counts.AGENT_WORK,
            of_its_team=True,
        ),
        _row(Metric.ENGINEERING_WAIT, "Engineering's part", "HELD", "RELEASED SOLVED", "MERGED"),
        _row(Metric.UNASSIGNED, "An assignment to a team", "RECEIVED", "PLACED", "MERGED"),
    )
}

PROMISED = tuple(metric for metric in RULES if metric is not Metric.UNASSIGNED)  # what a policy may promise


def _by_moment() -> dict[Moment, tuple[Rule, ...]]:
    return {m: tuple(r for r in RULES.values() if m in r.starts | r.meets | r.cancels) for m in Moment}


BY_MOMENT: Mapping[Moment, tuple[Rule, ...]] = _by_moment()
