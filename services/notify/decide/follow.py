"""Messages that a provider lets us change follow their page: what was told stays true. Pure.

Each change of a page queues one update of what was told about it, and a line in its thread. What waits to be sent
takes up later changes, so that several of them are one update and one post.
"""

from dataclasses import replace
from datetime import timedelta

from services.notify.decide.draft import Draft, unsent
from services.notify.decide.lanes import NO_CALL_HEAD_START
from services.notify.model import Delivery, Line, Purpose
from services.notify.model.threads import THREADED, UPDATED, roots
from shared.contracts.identity import derived
from shared.contracts.words import DeliveryState, PageState

SETTLES = timedelta(seconds=1)  # before a thread is told: what happens together is one post
MAX_LINES = 50  # of one post

# Lines of the history that change nothing for who reads an earlier message, or come with a message of their own.
_UNTOLD = frozenset(
    {"opened", "joined", "step", "skipped", "failed", "other_way", "next_on_call", "catch_all", "withdrawn", "retried"}
    | {"reminded", "caught_up", "damped"}
)


def follow(d: Draft, known: int) -> None:
    """Bring up to date what was told, where this decision wrote history: all from place ``known`` on."""
    page = d.state.page
    if page is None:
        return
    news = [each for each in d.state.history[known:] if each.page_id == page.id and each.kind not in _UNTOLD]
    if not news:
        return
    lines = tuple(Line(each.at, each.because.text) for each in news)
    made = [new for root in roots(d.state) for new in (*_update(d, root, d.page.entries), *_thread(d, root, lines))]
    if made:
        last = news[-1]
        counted = replace(last, deliveries=(*last.deliveries, *(each.id for each in made)))
        d.state = replace(d.state, history=tuple(counted if e is last else e for e in d.state.history))


def catch_up(d: Draft, sent: Delivery) -> None:
    """A call that arrived after the page had changed shows what is not so any more."""
    if sent.purpose != Purpose.CALL or sent.way not in UPDATED or d.page.state == PageState.OPEN:
        return
    root = next((each for each in roots(d.state) if (each.target, each.way) == (sent.target, sent.way)), None)
    made = _update(d, root, d.page.entries + 1) if root is not None else []  # the line that is written below
    if made:
        d.say(f"It was told while the page became {d.page.state}, so it is brought up to date.")
        d.write("caught_up", deliveries=made)


def _update(d: Draft, root: Delivery, line: int) -> list[Delivery]:
    """None where one is queued: it will show the page as it is when it leaves."""
    if _queued(d, root, Purpose.UPDATE):
        return []
    made = _following(d, root, Purpose.UPDATE, line)
    d.put([made])
    return [made]


def _thread(d: Draft, root: Delivery, lines: tuple[Line, ...]) -> list[Delivery]:
    if root.way not in THREADED:
        return []
    queued = [each for each in _queued(d, root, Purpose.HISTORY) if not each.attempts]
    if queued and len(queued[0].lines) + len(lines) <= MAX_LINES:
        d.put([replace(queued[0], lines=queued[0].lines + lines)])
        return []
    made = replace(_following(d, root, Purpose.HISTORY, d.page.entries), lines=lines, next_at=d.now + SETTLES)
    d.put([made])
    return [made]


def _queued(d: Draft, root: Delivery, purpose: Purpose) -> list[Delivery]:
    return [
        each
        for each in d.state.deliveries.values()
        if (each.page_id, each.target, each.way, each.purpose) == (root.page_id, root.target, root.way, purpose)
        and unsent(each)
        and each.token is None
    ]


def _following(d: Draft, root: Delivery, purpose: Purpose, line: int) -> Delivery:
    """A message that follows ``root``; its id says after which line of the history."""
    cause = f"{purpose}:{line}"
    return Delivery(
        id=derived(root.page_id, "delivery", purpose, root.target, root.way, line),
        page_id=root.page_id,
        target=root.target,
        via=root.via,
        way=root.way,
        lane=root.lane,
        purpose=purpose,
        on=root.on,
        cycle=d.page.cycle,
        step=None,
        round=0,
        cause=cause,
        clock_id=root.clock_id,
        state=DeliveryState.QUEUED,
        created_at=d.now,
        next_at=d.now,
        head_start=NO_CALL_HEAD_START,
        follows=root.receipt,
    )
