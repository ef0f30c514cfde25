"""Looks at running trials: compares the cases that a shadow waits for, judges a canary and takes it back.

In every replica, under the lock of the trial's row, so that one looks at a time, and the next where that one dies. Live
routing does nothing for a shadow but note the case, so it can neither be late for it nor fail with it. What is compared
here gets ``SHARE`` of this process's time at most; what comes faster than that is given up, oldest first, and counted.
"""

import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from services.routing.lab.canary import judge
from services.routing.lab.shadow import Pair, ShadowReport, Tally
from services.routing.model import CaseState, ContactFacts
from services.routing.model.trials import Trial, TrialKind, TrialState
from services.routing.rules import RulesetError
from services.routing.store import RoutingStore, trials
from shared import resources, telemetry
from shared.audit import Actor
from shared.contracts import duration
from shared.pace import gently, paced
from shared.runtime import Runtime

IDLE_S, RESTING_S = 0.5, 2.0  # between two looks, and where nothing runs
SHARE = 0.1  # of the time of this process, for comparing
BUDGET_S = 0.05  # of one look; a case that takes longer ends it
PAGE = 200  # cases of one look
WAITING = 20_000  # cases that may wait for a shadow
JUDGED = 50_000  # the newest cases of a canary, with those of its control
JUDGE_S, JUDGE_SHARE = 2.0, 0.05  # between two judgements, and of the time at most
REST_AT_MOST_S = 10.0  # after any look: one that a stalled disk made long says nothing of the next
BY_ITSELF = "the trial itself"  # who ends one when no person does
FORGET_S = 30.0  # between two looks for cases of trials that ended
AT_ONCE = 5_000  # cases given up or forgotten in one statement

log = structlog.get_logger()


class Trials:
    def __init__(self, runtime: Runtime[CaseState], store: RoutingStore) -> None:
        self._runtime, self._store = runtime, store
        self._pair: tuple[int, Pair] | None = None  # of the shadow with this number
        self._judge_at = self._forget_at = 0.0

    async def step(self) -> float:
        """Look at each running trial; gives how many seconds to sleep."""
        began = time.monotonic()
        async with self._runtime.db.transaction() as tx:
            running = await trials.running(tx)
            if began >= self._forget_at and not await trials.forget(tx, AT_ONCE):
                self._forget_at = began + FORGET_S
        for kind in TrialKind:
            telemetry.TRIALS.labels(kind).set(sum(each.kind == kind for each in running))
        full = False
        for each in running:
            if each.kind == TrialKind.SHADOW:
                full = await self._compare(each)
            elif began >= self._judge_at:
                await self._judge(each)
                self._judge_at = began + max(JUDGE_S, rest(time.monotonic() - began, JUDGE_SHARE))
        if full:
            return rest(time.monotonic() - began, SHARE)
        return IDLE_S if running else RESTING_S

    async def _compare(self, shadow: Trial) -> bool:
        """Whether there may be more to compare."""
        try:
            pair = await self._versions(shadow)
        except RulesetError as wrong:  # a newer program refuses what it was started with
            await self._end(shadow, TrialState.STOPPED, f"Version {shadow.version} cannot be compiled: {wrong}"[:500])
            return False
        async with self._runtime.db.transaction() as tx:
            held = await trials.hold(tx, shadow.number)
            cases = await trials.oldest(tx, shadow.number, PAGE) if held else []
            if held is None or not cases:
                return False
            before = ShadowReport.model_validate_json(held.report) if held.report else ShadowReport()
            tally = Tally.of(pair, before)
            done = await _compared(tally, cases)
            await trials.done(tx, held.number, done)
            full = len(done) < len(cases) or len(cases) == PAGE
            if full:
                tally.counts["skipped"] += await trials.keep_newest(tx, held.number, WAITING, AT_ONCE)
            after = tally.report()
            await trials.looked(tx, held.number, after, self._runtime.clock.now())
        _measure(before, after)
        return full

    async def _versions(self, shadow: Trial) -> Pair:
        if self._pair is None or self._pair[0] != shadow.number:
            async with self._runtime.db.transaction() as tx:
                active, tried = [
                    await self._store.versions.ready(tx, each) for each in (shadow.control, shadow.version)
                ]
            self._pair = shadow.number, await paced(Pair.of(active, tried))
        return self._pair[1]

    async def _judge(self, canary: Trial) -> None:
        now, terms = self._runtime.clock.now(), canary.terms
        assert terms is not None  # every canary has them
        watch = duration.parse(terms.rollback.hand_offs_within)
        async with self._runtime.db.transaction() as tx:
            deciding = (await self._store.configuration.read(tx)).canary  # before the trial's row, as whoever ends one
            if await trials.hold(tx, canary.number) is None:
                return
            report = judge(terms.rollback, *await trials.sides(tx, canary.number, watch, JUDGED, now))
            await trials.looked(tx, canary.number, report, now)
            await trials.keep_newest(tx, canary.number, JUDGED, AT_ONCE)
        if deciding is None:
            why = f"Version {canary.version} cannot be compiled any more, so it decides nothing"
        elif report.broken is not None:
            why = report.broken.text
        else:
            return
        if await self._end(canary, TrialState.ROLLED_BACK, why):
            telemetry.CANARY_ROLLBACKS.inc()

    async def _end(self, trial: Trial, how: TrialState, because: str) -> bool:
        """False where somebody else ended it meanwhile."""
        async with self._runtime.db.transaction() as tx:
            await resources.version(tx, "FOR UPDATE")
            held = await trials.hold(tx, trial.number, wait=True)
            if held is None:
                return False
            await trials.end(tx, held, how, Actor(BY_ITSELF, "itself"), because, self._runtime.clock.now())
        log.warning("trial ended by itself", kind=trial.kind, version=trial.version, how=how, because=because)
        return True


def rest(took: float, share: float) -> float:
    """Seconds to do nothing after what took ``took`` of them and may have ``share`` of the time."""
    return min(took * (1 / share - 1), REST_AT_MOST_S)


async def _compared(tally: Tally, cases: Sequence[tuple[UUID, ContactFacts | None]]) -> list[UUID]:
    """Which of the cases there was time for."""
    until, done = time.monotonic() + BUDGET_S, []
    async for case_id, facts in gently(cases):
        tally.compare(case_id, facts)
        done.append(case_id)
        if time.monotonic() > until:
            break
    return done


def _measure(before: ShadowReport, after: ShadowReport) -> None:
    differing = after.differing - before.differing
    same = after.cases - before.cases - differing
    failed, skipped = after.failed - before.failed, after.skipped - before.skipped
    for outcome, more in (("same", same), ("differs", differing), ("failed", failed), ("skipped", skipped)):
        telemetry.SHADOW_CASES.labels(outcome).inc(more)
