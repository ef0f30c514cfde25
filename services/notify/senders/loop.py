"""The sending loops: claim (a transaction) → send (none) → record (a transaction, fenced by the claim's token).

One loop claims for as many senders as are free, many deliveries in one transaction; each sender has one message in
hand, so a slow provider holds back nobody else's; one loop records whatever answers have come, together. A claim
outlives the hard send timeout: what is not recorded by then has an unknown answer and is sent again with the same key.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from services.notify.decide.storms import CHANGED, OPEN_FOR
from services.notify.model import CaseState
from services.notify.model.commands import Outcome, Recorded
from services.notify.senders import Finder, Sender
from services.notify.senders.claiming import MAX_OVERDUE, Claimed, Claiming, Member, choose, due_of, give_up_overdue
from services.notify.senders.recording import of_digest, of_member
from services.notify.store import digests, lanes
from services.notify.store.configuration import switch_off
from shared import points
from shared.batch import Input, Work
from shared.contracts.decision import Decision
from shared.db import AWAY, is_data_error
from shared.runtime import Runtime

IDLE_S = 0.25  # the claiming loop's longest sleep; it is woken by what happens in this process
BUSY_S = 0.02  # while somebody else holds what is due
RECORD_PAUSES_S = (0.1, 0.3, 1.0, 2.0)  # together less than the margin of a claim
WAIT_FOR_WORK_S = 1.0  # so that a loop sees that it should stop
MAX_RECORDS = 200  # answers recorded in one transaction
LOOK_AROUND_EVERY = timedelta(seconds=1)
LOOK_BACK_EVERY = timedelta(seconds=30)  # at older digests
REDRAWN_FOR = timedelta(days=1)  # the news of its cases reach a digest so long
SHARE_OF_ONE_WAY = 0.5  # of our senders: Slack down altogether leaves the other half for mail

log = structlog.get_logger()


class Sending:
    """Claims, sends and records for one replica. ``signing_key`` signs the links on which people act."""

    def __init__(
        self, runtime: Runtime[CaseState], senders: Mapping[str, Sender], signing_key: Callable[[], Awaitable[str]]
    ) -> None:
        self._runtime, self._senders, self._signing_key = runtime, senders, signing_key
        self._claimed: asyncio.Queue[Claimed] = asyncio.Queue()
        self._answered: asyncio.Queue[tuple[Claimed, Outcome]] = asyncio.Queue()
        self._out: Counter[str] = Counter()  # claimed and not answered, by the kind of lane
        self._closed = False  # nothing is sent any more
        self._looked: datetime | None = None  # around
        self._looked_back: datetime | None = None

    @property
    def idle(self) -> bool:
        """Nothing that was claimed waits for a sender."""
        return self._claimed.empty()

    async def claim(self) -> float:
        """Claim what is due, at most as much as there are free senders; gives the seconds to sleep."""
        self._runtime.wake_sender.clear()  # whatever woke us is seen below; our own claims wake us too
        if await self._look_around():
            return 0.0
        limit, full = self._free()
        if limit <= 0 or self._answered.qsize() >= MAX_RECORDS:
            return BUSY_S
        now, catch_all = self._runtime.clock.now(), self._runtime.settings.catch_all
        async with self._runtime.db.reading() as tx:
            chosen = await choose(tx, now, limit, full, catch_all, self._runtime.ids.new().int)
        if not chosen:
            return BUSY_S if full else IDLE_S
        key = await self._signing_key()
        await points.reach("send.claim")
        async with self._runtime.unit() as work:
            claimed = await Claiming(work, key, self._runtime.settings).claim(chosen)
        await points.reach("send.claimed")
        self._hand_out(claimed)
        return 0.0 if claimed else BUSY_S

    async def begin(self, work: Work[CaseState], states: Mapping[UUID, CaseState]) -> None:
        """Claim at once what a batch has just decided, in its own transaction; handed out once that is committed."""
        due, (limit, full) = due_of(states.values(), work.now), self._free()
        claimed: list[Claimed] = []
        if due and limit > 0 and not self._closed:
            key = await self._signing_key()
            alone = [each for each in due if each.grouping is None and each.lane.partition(":")[0] not in full]
            claimed = await Claiming(work, key, self._runtime.settings).begin(alone, states, limit)
            work.then.append(lambda: self._go_on(claimed))
        work.begun = len(claimed) == len(due)

    async def _go_on(self, claimed: list[Claimed]) -> None:
        self._hand_out(claimed)
        if self._closed:  # while the batch was written
            await self._give_back()

    def _free(self) -> tuple[int, list[str]]:
        """How many messages one claim may take, and the kinds of lanes that take none."""
        concurrency = self._runtime.settings.send_concurrency
        share = max(1, int(concurrency * SHARE_OF_ONE_WAY))
        return min(concurrency - self._out.total(), share), [kind for kind, out in self._out.items() if out >= share]

    def _hand_out(self, claimed: list[Claimed]) -> None:
        for each in claimed:
            self._out[_kind(each)] += 1
            self._claimed.put_nowait(each)

    async def _look_around(self) -> bool:
        """Now and then: calls that waited too long for their lane, and digests whose cases changed; True for those."""
        now = self._runtime.clock.now()
        if self._looked is not None and now - self._looked < LOOK_AROUND_EVERY:
            return False
        self._looked = now
        async with self._runtime.db.transaction() as tx:
            overdue = await lanes.overdue(tx, now, MAX_OVERDUE)
            back = self._looks_back(now)
            since = now - (REDRAWN_FOR if back else OPEN_FOR)
            stale = await digests.stale(tx, CHANGED, since, now)
            finished = await digests.over(tx, since, now) if back else []
        if overdue:
            async with self._runtime.unit() as work:
                await give_up_overdue(work, overdue)
        if not stale and not finished:
            return False
        key = await self._signing_key()
        async with self._runtime.unit() as work:
            claiming = Claiming(work, key, self._runtime.settings)
            claimed = [*await claiming.redraw(stale), *(await claiming.close(since) if finished else ())]
        self._hand_out(claimed)
        return bool(claimed)

    def _looks_back(self, now: datetime) -> bool:
        """The latest digests are looked at each time, those of a day, and which of them are over, now and then."""
        if self._looked_back is not None and now - self._looked_back < LOOK_BACK_EVERY:
            return False
        self._looked_back = now
        return True

    async def send(self) -> float:
        """Take one claimed delivery and send it."""
        try:
            async with asyncio.timeout(WAIT_FOR_WORK_S):
                claimed = await self._claimed.get()
        except TimeoutError:
            return 0.0
        outcome: Outcome | None = None
        try:
            outcome = await self._try(claimed)
        finally:
            self._out[_kind(claimed)] -= 1
            if outcome is not None:  # else we are stopped: the claim runs out, and it is sent again
                self._answered.put_nowait((claimed, outcome))
        return 0.0

    async def _try(self, claimed: Claimed) -> Outcome:
        if claimed.parcel is None:
            return Outcome("refused", claimed.trouble)
        if self._runtime.clock.now() > claimed.begin_by:
            return Outcome("later", "its turn came too late", retry_after=timedelta(0))
        timeout_s = self._runtime.settings.send_timeout_s
        sender = self._senders[claimed.way]
        try:
            async with asyncio.timeout(timeout_s):
                if claimed.parcel.lost_since is not None and isinstance(sender, Finder):
                    found = await sender.find(claimed.parcel)
                    if found is not None:
                        return found
                await points.reach("send.send")
                outcome = await sender.send(claimed.parcel)
                await points.reach("send.sent")
        except TimeoutError:
            return Outcome("lost", f"no answer within {timeout_s:g} s")
        except Exception as bug:  # must not stop other messages; it may have left, so it is lost, not refused
            log.error("a message could not be sent", key=_name(claimed), exc_info=bug)
            return Outcome("lost", f"an error of ours: {type(bug).__name__}")
        return replace(outcome, trouble=claimed.parcel.message.trouble)

    async def record(self) -> float:
        """Record the answers that have come, all in one transaction; wait for the first of them."""
        try:
            async with asyncio.timeout(WAIT_FOR_WORK_S):
                answers = [await self._answered.get()]
        except TimeoutError:
            return 0.0
        while not self._answered.empty() and len(answers) < MAX_RECORDS:
            answers.append(self._answered.get_nowait())
        await points.reach("send.record")
        await self._record(answers)
        await points.reach("send.recorded")
        self._runtime.wake_sender.set()
        return 0.0

    async def _record(self, answers: list[tuple[Claimed, Outcome]]) -> None:
        try:
            decisions = await self._insist(answers)
        except Exception:  # whatever it is: one by one, only the guilty stays unrecorded
            if len(answers) == 1:
                raise
            for each in answers:  # one of them is at fault; the others must not be sent twice for it
                try:
                    await self._record([each])
                except Exception as wrong:  # said here; its claim runs out, and it is listed as unanswered
                    log.error("an answer cannot be recorded", key=_name(each[0]), exc_info=wrong)
            return
        for claimed, outcome in answers:
            if outcome.gone and claimed.parcel is not None and claimed.parcel.destination:
                async with self._runtime.db.transaction() as tx:
                    await switch_off(tx, claimed.parcel.destination, outcome.detail, self._runtime.clock.now())
        because = {told.delivery_id: decision.because.text for told, decision in decisions}
        for claimed, outcome in answers:
            told = {"way": claimed.way, "outcome": outcome.kind, "detail": outcome.detail}
            if claimed.digest is not None:
                log.info("digest", digest_id=str(claimed.digest.id), joined=len(claimed.members), **told)
                continue
            [one] = claimed.members
            of = {"case_id": str(one.case_id), "delivery_id": str(one.delivery_id)}
            log.info("delivery", **of, **told, because=because[one.delivery_id])

    async def _insist(self, answers: list[tuple[Claimed, Outcome]]) -> list[tuple[Member, Decision[CaseState]]]:
        """Record, also over a short absence of the database: an answer that is not recorded is a message twice."""
        members = [(each, of_member(claimed, outcome)) for claimed, outcome in answers for each in claimed.members]
        inputs = [Input(m.case_id, Recorded(m.delivery_id, m.token, outcome)) for m, outcome in members]
        by_lane: dict[str, list[Outcome]] = {}
        for claimed, outcome in answers:
            if claimed.parcel is not None:  # else nobody was asked
                by_lane.setdefault(claimed.lane, []).append(outcome)

        async def once() -> list[tuple[Member, Decision[CaseState]]]:
            async with self._runtime.unit() as work:
                await work.lock([each.case_id for each in inputs])
                await lanes.answers(work.tx, by_lane, work.now)
                of = [(c, d, o) for c, o in answers if c.digest is not None for d in (c.digest, *c.closes)]
                found = [of_digest(claimed, digest, outcome, work.now) for claimed, digest, outcome in of]
                await digests.record(work.tx, found)
                decisions = await work.apply(inputs) if inputs else []
            return [(member, decision) for (member, _), decision in zip(members, decisions, strict=True)]

        for pause in RECORD_PAUSES_S:
            try:
                return await once()
            except AWAY as wrong:
                if is_data_error(wrong):
                    raise
                log.warning("answers are not recorded yet", answers=len(answers), error=str(wrong)[:300])
                await asyncio.sleep(pause)
        return await once()

    async def close(self) -> None:
        """Give back what was claimed and not begun, record what came back, and let the connections go."""
        self._closed = True
        await self._give_back()
        for sender in set(self._senders.values()):
            await sender.close()

    async def _give_back(self) -> None:
        while not self.idle:
            stopped = Outcome("later", "we stopped before it was sent", retry_after=timedelta(0))
            self._answered.put_nowait((self._claimed.get_nowait(), stopped))
        while not self._answered.empty():
            await self.record()


def _kind(claimed: Claimed) -> str:
    return claimed.lane.partition(":")[0]


def _name(claimed: Claimed) -> str:
    return str(claimed.digest.id if claimed.digest else claimed.members[0].delivery_id)
