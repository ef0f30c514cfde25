"""A decision in the making: the next state, with what to tell the world, gathered while the rules run. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.notify.model import QUIET, UNFINISHED, Block, CaseState, Clock, Delivery, Entry, Page
from services.notify.model.plan import timers
from shared.contracts.decision import CancelTimer, Decision, SetTimer
from shared.contracts.envelope import Because, EventData
from shared.contracts.pages import PageEvent
from shared.contracts.words import DeliveryState

MAX_TROUBLES = 50  # kept with a page; the newest


@dataclass(slots=True)
class Draft:
    """Rules change it; ``done`` gives the decision. ``because`` is the last and most telling reason."""

    state: CaseState
    now: datetime
    because: Because = field(default_factory=lambda: Because(text="Nothing to do."))
    events: list[EventData] = field(default_factory=list)
    _before: Page | None = None

    def __post_init__(self) -> None:
        self._before = self.state.page

    @property
    def page(self) -> Page:
        if self.state.page is None:
            raise LookupError(f"case {self.state.case_id} has no page")
        return self.state.page

    def say(self, text: str, **facts: Any) -> None:
        self.because = Because(text=text, facts=facts)

    def set_page(self, **changes: Any) -> None:
        self.state = replace(self.state, page=replace(self.page, **changes))

    def set_facts(self, **changes: Any) -> None:
        self.state = replace(self.state, facts=replace(self.state.facts, **changes))

    def put_clock(self, clock: Clock) -> None:
        self.state = replace(self.state, clocks={**self.state.clocks, clock.id: clock})

    def put(self, deliveries: Iterable[Delivery]) -> None:
        changed = {each.id: each for each in deliveries}
        self.state = replace(self.state, deliveries={**self.state.deliveries, **changed})

    def block(self, lane: str, block: Block) -> None:
        self.state = replace(self.state, blocks={**self.state.blocks, lane: block})

    def write(
        self,
        kind: str,
        by: str | None = None,
        via: str | None = None,
        deliveries: Iterable[Delivery] = (),
        origin: str | None = None,
    ) -> None:
        """Add what was just said to the page's history; who did it, by what means and from where, if somebody did."""
        number = self.page.entries + 1
        ids = tuple(each.id for each in deliveries)
        entry = Entry(self.page.id, number, self.now, kind, self.because, by, via, ids, origin)
        self.set_page(entries=number)
        self.state = replace(self.state, history=(*self.state.history, entry))

    def emit(self, kind: type[PageEvent], **fields: Any) -> None:
        page = self.page
        self.events.append(
            kind(
                case_id=self.state.case_id,
                occurred_at=self.now,
                page_id=page.id,
                team=page.team,
                because=self.because,
                **fields,
            )
        )

    def trouble(self, text: str) -> None:
        if text not in self.page.troubles:
            self.set_page(troubles=(*self.page.troubles, text)[-MAX_TROUBLES:])

    def suppress(self, why: str, deliveries: Iterable[Delivery] | None = None) -> None:
        """Send nothing more of these (all that the page has waiting, where left out), and say why."""
        waiting = self.waiting() if deliveries is None else deliveries
        self.put(replace(each, state=DeliveryState.SUPPRESSED, reason=why + _perhaps(each)) for each in waiting)

    def waiting(self) -> list[Delivery]:
        """Unsent calls of the page in hand, and what corrects them."""
        page_id, every = self.page.id, self.state.deliveries.values()
        return [each for each in every if each.page_id == page_id and unsent(each) and each.purpose not in QUIET]

    def done(self) -> Decision[CaseState]:
        return Decision(self.state, self.because, tuple(self.events), tuple(_difference(self._before, self.state.page)))


def unsent(delivery: Delivery) -> bool:
    return delivery.state in UNFINISHED


def _perhaps(delivery: Delivery) -> str:
    """What to add where a message that is given up may have arrived all the same."""
    if delivery.token is not None:
        return "; it was being sent at that moment, and may have arrived"
    return "; an earlier try may have arrived" if delivery.lost else ""


def _difference(before: Page | None, after: Page | None) -> Iterable[SetTimer | CancelTimer]:
    """The timers to change so that those of ``before`` become those of ``after``."""
    if before is after:
        return
    stood, wanted = timers(before), timers(after)
    if before is not None and (after is None or after.id != before.id) and stood:
        yield CancelTimer(before.id)
        stood = {}
    for step, timer in stood.items():
        if step not in wanted:
            yield CancelTimer(timer.subject, step)
    for step, timer in wanted.items():
        if stood.get(step) != timer:
            yield timer
