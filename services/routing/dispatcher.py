"""Gives waiting cases to people: one team's desk at a time, under the lock of its row, in every replica."""

from services.routing.model import CaseState
from services.routing.model.commands import Give, HandOff
from services.routing.staffing import GIVEN_AT_ONCE, Bench, Needs, Waiting, falls, nobody, plan
from services.routing.store import RoutingStore, desks
from shared.batch import Input
from shared.runtime import Runtime

IDLE_S = 0.25  # a member's hours may begin, or an absence end, at any time


class Dispatcher:
    def __init__(self, runtime: Runtime[CaseState], store: RoutingStore) -> None:
        self._runtime, self._store = runtime, store

    async def step(self) -> float:
        """Serve each team in which something waits; gives how many seconds to sleep (0: there is more)."""
        async with self._runtime.db.transaction() as tx:
            teams = (await self._store.configuration.read(tx)).teams
            busy = await desks.with_work(tx, [name for name, team in teams.items() if team.staffed])
        moved = 0
        for name in busy:
            moved += await self._serve(name)
        return 0.0 if moved else IDLE_S

    async def _serve(self, name: str) -> int:
        """Lock order: the desk, then its cases; nobody takes a desk while holding a case."""
        async with self._runtime.unit() as work:
            if not await desks.lock(work.tx, name):
                return 0
            team = (await self._store.configuration.read(work.tx)).teams.get(name)
            if team is None:
                return 0
            bench = await desks.bench(work.tx, name, team, work.now)
            commands = _commands(bench, await desks.waiting(work.tx, name))
            if not commands:
                return 0
            await work.lock([each.case_id for each in commands])
            decisions = await work.apply([Input(each.case_id, each) for each in commands])
            given = [
                each.person
                for each, decision in zip(commands, decisions, strict=True)
                if isinstance(each, Give) and each.person and decision.events
            ]
            await desks.took_turns(work.tx, name, given)
            return sum(1 for decision in decisions if decision.events)


def _commands(bench: Bench, waiting: list[Waiting]) -> list[Give | HandOff]:
    """What the desk does now: gives, and sends on what waited long enough and nobody is available for."""
    gifts = plan(bench, waiting)
    given = {gift.case_id for gift in gifts}
    commands: list[Give | HandOff] = [Give(g.case_id, bench.name, g.person, g.because) for g in gifts]
    fallback = bench.team.fallback
    if fallback is None or len(gifts) >= GIVEN_AT_ONCE:  # the next step may still find somebody for the others
        return commands
    by = f"the fallback of {bench.name}"
    reasons: dict[Needs, str] = {}
    for each in falls(bench, [each for each in waiting if each.case_id not in given])[:GIVEN_AT_ONCE]:
        reason = reasons.setdefault(each.needs, nobody(bench, each.needs).text)
        commands.append(HandOff(each.case_id, fallback.team, by, reason, fallback=True))
    return commands
