"""What happens next. A run is made of episodes, each with weights of its own, so that what must come together does.

An episode leads to where a mechanism is all that stands between a fault and its harm: events that come again after
their effects (the inbox), a process that goes on after its lease has run out (the token), a service that finds events
and timers waiting when it starts (the catch-up). What happens in it is chance.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.sim import clients
from tests.sim.scheduler import Action
from tests.sim.wiring import GROUPS
from tests.sim.world import REPLICAS, World

MAX_OPEN = 2  # steps that stand still at the same time
SETTLED_AFTER = 250  # actions
FAULTS = 0.2  # of steps
JUMPS = ("0.1", "1", "5", "20", "40", "90", "300", "900", *["due"] * 14)
PAST_A_CLAIM, PAST_A_LEASE = "20", "31"
PROMPT = 0.5  # machines are quick: time seldom passes while they have work
EFFECTS = ("db.commit", "db.committed", "log.append", "log.appended", "log.commit", "log.committed", "send")


@dataclass(frozen=True)
class Mix:
    """How often each kind of action is chosen. ``leaning`` is what people do more than else."""

    run: int = 66
    ask: int = 18
    advance: int = 10
    mishap: int = 6
    leaning: str = ""


CALM = Mix()
BURST = Mix(run=54, ask=42, advance=2, mishap=2, leaning="contacts")
RUSH = Mix(run=64, ask=10, advance=24, mishap=2)
QUEUE = Mix(run=48, ask=44, advance=8, mishap=0, leaning="answers")  # while something piles up
RACE = Mix(run=92, ask=6, advance=2, mishap=0)  # what comes together now decides


class Chooser:
    """The actions of one run."""

    def __init__(self, chance: random.Random, world: World) -> None:
        self._chance, self._world = chance, world
        self._script: Iterator[Action] = iter(())
        self._focus = ""  # a service whose steps come first
        self._since_quiet = 0

    def next(self) -> Action:
        """The next action: mostly something that has work to do."""
        self._since_quiet += 1
        if self._since_quiet > SETTLED_AFTER and self._chance.random() < 0.03:
            self._since_quiet = 0
            return ("settle",)
        action = next(self._script, None)
        while action is None:
            self._focus = ""
            self._script = self._episode()
            action = next(self._script, None)
        return action

    def _episode(self) -> Iterator[Action]:
        promised = bool(self._world.model.unanswered())
        found: list[tuple[int, Callable[[], Iterator[Action]]]] = [
            (4, lambda: self._spell(CALM)),
            (2 if promised else 5, lambda: self._spell(BURST)),
            (3, lambda: self._spell(RUSH)),
            (6 if promised else 1, self._backlog),
            (5 if promised else 1, self._held_back),
            (3, self._again),
            (8 if self._busy_hands() else 0, self._zombie),
        ]
        [(_, episode)] = self._chance.choices(found, weights=[weight for weight, _ in found])
        return episode()

    # Episodes

    def _spell(self, mix: Mix, longest: int = 24) -> Iterator[Action]:
        for _ in range(self._chance.randrange(longest // 2, longest)):
            yield self._any(mix)

    def _backlog(self) -> Iterator[Action]:
        """A service is away; events and timers wait for it together when it starts."""
        service = self._chance.choice(("sla", "sla", "sla", "notify", "routing"))
        yield ("outage", service)
        yield from self._answered_in_time()
        yield ("restart", service)
        self._focus = service
        yield from self._spell(RACE, 12)

    def _held_back(self) -> Iterator[Action]:
        """One topic comes late to a service whose timers come due."""
        group = self._chance.choice(("sla", "sla", "sla", "notify"))
        topics = self._world.fronts[group].runtime.service.card.consumes
        yield ("hold", group, self._chance.choice(("contacts", *topics)))
        yield from self._answered_in_time()
        self._focus = group
        yield from self._spell(RACE, 6)
        yield ("let",)
        yield from self._spell(RACE, 6)

    def _answered_in_time(self) -> Iterator[Action]:
        """People go on, somebody answers what waits, the log has it, and then time passes."""
        self._focus = ""
        yield from self._spell(QUEUE, 8)
        yield self._ask(QUEUE, "activity")
        self._focus = "intake"
        yield from self._spell(RACE, 6)
        yield ("advance", self._chance.choice(("due", "promise", "promise")))

    def _again(self) -> Iterator[Action]:
        """What a service took, and acted on, comes again, at once and after others went on."""
        group = self._world.fruitful or self._chance.choice(GROUPS)
        for _ in range(self._chance.randrange(1, 4)):
            yield ("back", group, self._chance.choice(("1", "3", "10", "40")))
            self._focus = group
            yield from self._spell(RACE, 8)
            self._focus = ""
            yield from self._spell(CALM, 8)

    def _zombie(self) -> Iterator[Action]:
        """A process stands still longer than it owns what it has in hand; others take over; it goes on."""
        world, hands = self._world, self._busy_hands()
        name = self._chance.choice(hands or [name for name in REPLICAS if name in world.replicas])
        process = world.replicas[name]
        if process.in_hand and not process.loops["record"].ready():
            yield ("run", name, "send", "", "1", "")
        yield ("freeze", name)
        yield ("advance", PAST_A_CLAIM if name.startswith("notify") else PAST_A_LEASE)
        self._focus = name.partition("/")[0]
        yield from self._spell(RACE, 14)
        yield ("thaw", name)
        yield from self._spell(RACE, 8)

    def _busy_hands(self) -> list[str]:
        """Processes that have something in hand which is theirs for a time only."""
        world = self._world
        held = {each.replica for each in world.steps.open if each.parked}
        return [name for name, each in world.replicas.items() if name in held or each.in_hand]

    # One action

    def _any(self, mix: Mix) -> Action:
        chance, world = self._chance, self._world
        awake = [each for each in world.steps.open if each.replica not in world.frozen]
        if awake and chance.random() < (0.3 if len(awake) >= MAX_OPEN else 0.12):
            return ("resume", str(chance.randrange(8)))
        if mix is not RACE and not world.frozen and (hands := self._busy_hands()) and chance.random() < 0.06:
            self._script = self._zombie()
            return ("idle", hands[0])
        weights = (mix.run, mix.ask, mix.advance, mix.mishap)
        [kind] = chance.choices(("run", "ask", "advance", "mishap"), weights)
        if kind == "advance" and any(world.work.values()) and chance.random() < PROMPT:
            kind = "run"
        if kind == "run":
            found = self._loop()
            if found is not None:
                return ("run", *found, *self._plan(*found))
            kind = "resume" if awake and chance.random() < 0.5 else chance.choice(("ask", "advance", "advance"))
        if kind == "ask":
            return self._ask(mix)
        if kind == "resume":
            return ("resume", "0")
        return ("advance", chance.choice(JUMPS)) if kind == "advance" else self._mishap()

    def _ask(self, mix: Mix, what: str = "") -> Action:
        asked = clients.choose(self._chance, self._world, mix.leaning, what)
        return ("ask", *self._plan("", "api"), *asked)

    def _loop(self) -> tuple[str, str] | None:
        """A loop that has work, or may have; rather one that could meet a step that stands still."""
        world = self._world
        near = {each.replica.partition("/")[0] for each in world.steps.open}
        found: list[tuple[str, str]] = []
        weights: list[float] = []
        for name, process in world.replicas.items():
            for each in process.loops.values():
                weight = each.chance(world.work.get(f"{process.service} {each.name}"))
                if not weight or name in world.frozen or world.under_way_loop(name, each.name):
                    continue
                weight *= 6 if process.service == self._focus else 3 if process.service in near else 1
                found.append((name, each.name))
                weights.append(weight)
        return self._chance.choices(found, weights)[0] if found else None

    def _plan(self, replica: str, loop: str) -> tuple[str, str, str]:
        """What goes wrong in a step, at a point that such a step passed when it last had work; mostly nothing does."""
        chance, world = self._chance, self._world
        if chance.random() >= FAULTS:
            return ("", "1", "")
        passed = world.passed.get((replica.partition("/")[0], loop)) or {"db.begin": 1, "db.statement": 8}
        points = sorted(passed)
        weights = [2.0 + passed[each] if each.startswith(EFFECTS) else 1.0 + passed[each] / 4 for each in points]
        [point] = chance.choices(points, weights)
        what = chance.choice(
            ("suspend", "crash", "fail") if point.startswith(EFFECTS) else ("suspend", "suspend", "crash", "fail")
        )
        if what == "suspend" and len(world.steps.open) >= MAX_OPEN:
            what = "fail"
        if what == "crash" and loop == "api" and chance.random() < 0.5:
            what = "fail"
        return (point, str(chance.randrange(passed[point]) + 1), what)

    def _mishap(self) -> Action:
        chance, world = self._chance, self._world
        if world.down and chance.random() < 0.7:
            return ("start", chance.choice(world.down))
        if world.frozen and chance.random() < 0.5:
            return ("thaw", chance.choice(sorted(world.frozen)))
        group = chance.choice(GROUPS)
        return chance.choices(
            [
                ("hold", group, chance.choice(world.fronts[group].runtime.service.card.consumes)),
                ("let",),
                ("back", group, chance.choice(("1", "3", "10", "40"))),
                ("twice",),
                ("mood", chance.choice(("slack", "email", "console")), chance.choice(("away", "limited", "refusing"))),
                ("mood", chance.choice(("slack", "email", "console")), ""),
                ("crash", chance.choice(REPLICAS)),
                ("drop", chance.choice(("intake", "routing", "sla", "notify", "log"))),
                ("idle", chance.choice(REPLICAS)),
            ],
            weights=[4, 8, 6, 4, 3, 6, 4, 2, 1],
        )[0]
