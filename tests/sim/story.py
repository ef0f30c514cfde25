"""A run: a seed becomes a story, a story that breaks a promise becomes the shortest one that breaks the same."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from shared.clock import ManualClock
from tests.sim import scheduler, template
from tests.sim.choosing import Chooser
from tests.sim.fronts import Front
from tests.sim.ground import Ground
from tests.sim.loop import StillLoop
from tests.sim.model import Violation
from tests.sim.scheduler import Action
from tests.sim.steps import Stuck
from tests.sim.template import BEGAN
from tests.sim.wiring import MEMBERS
from tests.sim.world import World, world

Told = list[tuple[int, Action]]  # with their numbers: what an action makes follows from its number


@dataclass
class Run:
    """What became of one seed."""

    seed: int
    steps: int = 0  # chosen ones; those that a quiet moment takes besides are ``inner``
    inner: int = 0
    actions: Told = field(default_factory=list)
    wrong: str | None = None
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def promise(self) -> str:
        """Which one is broken."""
        return (self.wrong or "").partition(":")[0]


class Simulator:
    """Runs stories on one Postgres, in one loop."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._fronts = {name: Front(name, ManualClock(BEGAN)) for name in MEMBERS}
        self._prepared = False

    async def run(self, seed: int, steps: int) -> Run:
        """As many steps as asked for, and a last check when all is quiet."""
        run = Run(seed)

        async def play(made: World) -> None:
            chooser = Chooser(random.Random(seed), made)
            while len(run.actions) < steps:
                await made.look_around()
                await self._perform(made, run, len(run.actions) + 1, chooser.next())
            await self._perform(made, run, len(run.actions) + 1, ("settle",))

        await self._play(run, play)
        return run

    async def again(self, seed: int, actions: Told) -> Run:
        """The same story, or what is left of it."""
        run = Run(seed)

        async def play(made: World) -> None:
            for number, action in actions:
                await self._perform(made, run, number, action)

        await self._play(run, play)
        return run

    async def _perform(self, made: World, run: Run, number: int, action: Action) -> None:
        run.actions.append((number, action))
        made.label, made.inner = str(number), 0
        made.note(f"{number} {' '.join(action)}")
        await scheduler.perform(made, action)

    async def _play(self, run: Run, play: Callable[[World], Awaitable[None]]) -> None:
        if not self._prepared:
            await template.make(self._ground, self._fronts)
            self._prepared = True
        async with world(self._ground, self._fronts, run.seed) as made:
            try:
                await play(made)
            except (Violation, Stuck) as wrong:
                run.wrong = str(wrong)
            run.steps, run.inner, run.digest = len(run.actions), made.steps.count, made.digest.hexdigest()
            run.counts = made.counts()

    async def until_broken(self, steps: int, within: int, first: int = 1) -> list[Run]:
        """Runs of so many steps, of seed after seed, up to the first that breaks a promise."""
        runs: list[Run] = []
        while sum(run.steps for run in runs) < within:
            runs.append(await self.run(first + len(runs), steps))
            if runs[-1].wrong is not None:
                break
        return runs

    async def shorten(self, run: Run, tries: int = 200) -> Run:
        """Delta debugging: leave out ever smaller parts, as long as the same promise is broken."""
        best, parts = run, 2
        while tries > 0 and len(best.actions) > 1:
            size = max(1, len(best.actions) // parts)
            for start in range(0, len(best.actions), size):
                tries -= 1
                left = best.actions[:start] + best.actions[start + size :]
                again = await self.again(run.seed, left)
                if again.wrong is not None and again.promise == run.promise:
                    best, parts = again, max(2, parts - 1)
                    break
                if tries <= 0:
                    break
            else:
                if size == 1:
                    break
                parts = min(len(best.actions), parts * 2)
        return best


def tell(run: Run) -> str:
    """The story in lines."""
    return "\n".join(f"  {number:>5}  {' '.join(word for word in action if word)}" for number, action in run.actions)


def loop_factory() -> StillLoop:
    loop = StillLoop()
    loop.set_exception_handler(lambda _loop, _context: None)  # of processes that were killed on purpose
    return loop
