"""The sending loop: claim (a transaction) → send (none) → record (a transaction, fenced by the claim's token).

One loop claims for as many senders as are free; each sender has one message in hand, so a slow provider holds back
nobody else's. A claim outlives the hard send timeout: what is not recorded by then has an unknown answer and is sent
again with the same key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.notify.message import build
from services.notify.model import CaseState
from services.notify.model.commands import Claim, Outcome, Recorded
from services.notify.oncall.targets import address
from services.notify.senders import Parcel, Sender, links
from services.notify.store import lanes
from services.notify.store.configuration import switch_off
from shared import points
from shared.batch import Input, Work
from shared.contracts.decision import Decision
from shared.db import is_transient
from shared.runtime import Runtime

IDLE_S = 0.25  # the claiming loop's longest sleep; it is woken by what happens in this process
BUSY_S = 0.02  # while somebody else holds what is due
RECORD_MARGIN = timedelta(seconds=5)  # to record an answer before the claim runs out
RECORD_PAUSES_S = (0.1, 0.3, 1.0, 2.0)  # together less than the margin
WAIT_FOR_WORK_S = 1.0  # so that a sender sees that it should stop

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the claim runs out."""

    case_id: UUID
    delivery_id: UUID
    token: UUID
    way: str
    parcel: Parcel | None  # None where it cannot be made
    trouble: str = ""


class Sending:
    """Claims and sends for one replica. ``signing_key`` signs the links on which people act."""

    def __init__(
        self, runtime: Runtime[CaseState], senders: Mapping[str, Sender], signing_key: Callable[[], Awaitable[str]]
    ) -> None:
        self._runtime, self._senders, self._signing_key = runtime, senders, signing_key
        self._claimed: asyncio.Queue[Claimed] = asyncio.Queue()
        self._in_hand = 0

    @property
    def idle(self) -> bool:
        """Nothing that was claimed waits for a sender."""
        return self._claimed.empty()

    async def claim(self) -> float:
        """Claim what is due, at most as much as there are free senders; gives the seconds to sleep."""
        free = self._runtime.settings.send_concurrency - self._in_hand - self._claimed.qsize()
        if free <= 0:
            return BUSY_S
        async with self._runtime.db.transaction() as tx:
            due = await lanes.due(tx, self._runtime.clock.now(), free)
        if not due:
            return IDLE_S
        key = await self._signing_key()
        await points.reach("send.claim")
        async with self._runtime.unit() as work:
            claimed = await self._claim(work, due, key)
        for each in claimed:
            self._claimed.put_nowait(each)
        return 0.0 if claimed else BUSY_S

    async def _claim(self, work: Work[CaseState], due: list[lanes.Due], key: str) -> list[Claimed]:
        ours = set(await work.lock_free([each.case_id for each in due]))
        room = await lanes.lock(work.tx, [each.lane for each in due], work.now)
        inputs, chosen = [], []
        until = work.now + timedelta(seconds=self._runtime.settings.send_timeout_s) + RECORD_MARGIN
        for each in due:
            if each.case_id in ours and room.get(each.lane, 0) > 0:
                room[each.lane] -= 1
                token = work.ids.new()
                chosen.append((each, token))
                inputs.append(Input(each.case_id, Claim(each.delivery_id, token, until)))
        if not inputs:
            return []
        decisions = await work.apply(inputs)
        taken = [
            self._taken(each, token, decision.state, work.now, key)
            for (each, token), decision in zip(chosen, decisions, strict=True)
            if decision.state.deliveries[each.delivery_id].token == token
        ]
        await lanes.paced(work.tx, [each.lane for each, token in chosen if token in {t.token for t in taken}], work.now)
        return taken

    def _taken(self, due: lanes.Due, token: UUID, state: CaseState, now: datetime, key: str) -> Claimed:
        """Make the message from the state as it was claimed."""
        delivery = state.deliveries[due.delivery_id]
        found = address(state.configuration, delivery.target, delivery.way, self._runtime.settings.catch_all)
        if isinstance(found, str):
            return Claimed(due.case_id, delivery.id, token, delivery.way, None, found)
        try:
            message = build(state, delivery, now)
        except LookupError as missing:  # nothing to say it with: the next target may fare better
            return Claimed(due.case_id, delivery.id, token, delivery.way, None, str(missing))
        act_url = None
        if message.can_acknowledge:
            signed = links.sign(key, delivery.page_id, delivery.target, now)
            act_url = f"{self._runtime.settings.url}/v1/pages/{delivery.page_id}/action?token={signed}"
        kind, _, name = delivery.target.partition(":")
        parcel = Parcel(delivery.id, message, found, act_url, now, name if kind == "destination" else None)
        return Claimed(due.case_id, delivery.id, token, found.kind, parcel)

    async def send(self) -> float:
        """Take one claimed delivery, send it, record what came of it."""
        try:
            async with asyncio.timeout(WAIT_FOR_WORK_S):
                claimed = await self._claimed.get()
        except TimeoutError:
            return 0.0
        self._in_hand += 1
        try:
            outcome = await self._try(claimed)
            await points.reach("send.record")
            await self._record(claimed, outcome)
        finally:
            self._in_hand -= 1
        return 0.0

    async def _try(self, claimed: Claimed) -> Outcome:
        if claimed.parcel is None:
            return Outcome("refused", claimed.trouble)
        timeout_s = self._runtime.settings.send_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await points.reach("send.send")
                outcome = await self._senders[claimed.way].send(claimed.parcel)
                await points.reach("send.sent")
        except TimeoutError:
            return Outcome("lost", f"no answer within {timeout_s:g} s")
        except Exception as bug:  # one message that cannot be written must not stop the others; the page goes on
            log.error("a message could not be sent", delivery_id=str(claimed.delivery_id), exc_info=bug)
            return Outcome("lost", f"an error of ours: {type(bug).__name__}")
        return outcome

    async def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        recorded = Recorded(claimed.delivery_id, claimed.token, outcome)
        decision = await self._insist(Input(claimed.case_id, recorded))
        if outcome.gone and claimed.parcel is not None and claimed.parcel.destination:
            async with self._runtime.db.transaction() as tx:
                await switch_off(tx, claimed.parcel.destination, outcome.detail, self._runtime.clock.now())
        log.info(
            "delivery",
            case_id=str(claimed.case_id),
            delivery_id=str(claimed.delivery_id),
            way=claimed.way,
            outcome=outcome.kind,
            detail=outcome.detail,
            because=decision.because.text,
        )

    async def _insist(self, recorded: Input) -> Decision[CaseState]:
        """Record, also over a short absence of the database: an answer that is not recorded is a message twice."""
        for pause in RECORD_PAUSES_S:
            try:
                [decision] = await self._runtime.command([recorded])
                return decision
            except Exception as wrong:
                if not is_transient(wrong):
                    raise
                log.warning("an answer is not recorded yet", case_id=str(recorded.case_id), error=str(wrong)[:300])
                await asyncio.sleep(pause)
        [decision] = await self._runtime.command([recorded])
        return decision

    async def close(self) -> None:
        """Give back what was claimed and not begun, and let the connections go."""
        while not self.idle:
            claimed = self._claimed.get_nowait()
            await self._record(claimed, Outcome("later", "we stopped before it was sent", retry_after=timedelta(0)))
        for sender in set(self._senders.values()):
            await sender.close()
