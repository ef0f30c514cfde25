"""Messages that a page asks for: queued once each. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notify.decide.draft import Draft
from services.notify.decide.lanes import head_start
from services.notify.decide.storms import grouping
from services.notify.model import Delivery, Purpose, Target, Way
from services.notify.model.specs import On
from shared.contracts.identity import derived
from shared.contracts.words import DeliveryState


@dataclass(frozen=True, slots=True)
class Ask:
    """What asks for messages: which step and round, or another ``cause``; about which clock."""

    on: On
    clock_id: UUID
    cause: str
    step: int | None = None
    round: int = 0
    cycle: int = 0
    purpose: Purpose = Purpose.CALL
    not_before: datetime | None = None  # and ``reason`` says why
    reason: str | None = None


def send(d: Draft, targets: Sequence[Target], ask: Ask) -> list[Delivery]:
    """Queue one message to each target. The same ask makes the same deliveries: once."""
    every = [queued(d, ask, each.key, each.via, each.ways[0]) for each in targets]
    made = [each for each in every if each.id not in d.state.deliveries]
    if ask.purpose == Purpose.CALL:
        _supersede(d, made)
    d.put(made)
    return made


def queued(d: Draft, ask: Ask, target: str, via: str | None, way: Way) -> Delivery:
    parts = (ask.cycle, ask.step, ask.round, ask.cause, ask.purpose, target, way.kind)
    summary = d.state.facts.summary
    return Delivery(
        id=derived(d.page.id, "delivery", *parts),
        page_id=d.page.id,
        target=target,
        via=via,
        way=way.kind,
        lane=way.lane,
        purpose=ask.purpose,
        on=ask.on,
        cycle=ask.cycle,
        step=ask.step,
        round=ask.round,
        cause=ask.cause,
        clock_id=ask.clock_id,
        state=DeliveryState.QUEUED if ask.not_before is None else DeliveryState.HELD,
        created_at=d.now,
        next_at=ask.not_before or d.now,
        grouping=_grouping(d, ask, target, way),
        head_start=head_start(summary.priority if summary else None, ask.on, ask.purpose),
        reason=ask.reason,
    )


def _grouping(d: Draft, ask: Ask, target: str, way: Way) -> str | None:
    metric = d.state.clocks[ask.clock_id].metric
    return grouping(d.state.configuration, target, way.kind, ask.purpose, d.page.team, ask.on, metric)


def other_way(d: Draft, failed: Delivery, way: Way) -> Delivery:
    """The same message by another way, such as email after Slack."""
    ask = Ask(failed.on, failed.clock_id, failed.cause, failed.step, failed.round, failed.cycle, failed.purpose)
    return queued(d, ask, failed.target, failed.via, way)


def _supersede(d: Draft, made: Sequence[Delivery]) -> None:
    """A message that never left gives way to a later one to the same target: it says more."""
    targets = {each.target for each in made}
    stale = [
        each
        for each in d.waiting()
        if each.target in targets and each.purpose == Purpose.CALL and not each.attempts and each.token is None
    ]
    d.suppress("A later message to the same target says more", stale)
