"""What happens next, and doing it. An action is a tuple of words: a story can be kept, shortened and told again."""

import random
from datetime import timedelta

from tests.sim import checks, clients
from tests.sim.clients import Asked
from tests.sim.steps import Plan
from tests.sim.world import REPLICAS, World

Action = tuple[str, ...]

MAX_OPEN = 2  # steps that stand still at the same time
API_AT_ONCE = 2  # group commits of intake
_DB = ("db.begin", "db.statement", "db.commit", "db.committed")
POINTS = {  # that a loop passes when it has work
    "worker": ("log.poll", *_DB, *_DB, "log.commit", "log.committed"),
    "relay": (*_DB, "log.append", "log.appended", "log.appended"),
    "claims": (*_DB, "send.claim", "send.claimed"),
    "send": ("send.send", "send.sent"),
    "record": (*_DB, "send.record", "send.recorded"),
}
JUMPS = ("0.1", "1", "5", "20", "40", "90", "300", "900", "3600", *["due"] * 8)
FAULTS = 0.2  # of steps
SETTLED_AFTER = 150  # actions


def choose(chance: random.Random, world: World, since_quiet: int) -> Action:
    """The next action: mostly something that has work to do."""
    if since_quiet >= SETTLED_AFTER and chance.random() < 0.05:
        return ("settle",)
    if world.steps.open and chance.random() < (0.3 if len(world.steps.open) >= MAX_OPEN else 0.12):
        return ("resume", str(chance.randrange(8)))
    if any(each.name.endswith(" send") and each.parked for each in world.steps.open) and chance.random() < 0.1:
        return ("advance", "20")  # longer than a claim lasts
    kind, hasty = chance.random(), world.seed % 3 == 0
    loop = _loop(chance, world, sure=chance.random() < 0.93)
    if loop and kind < (0.58 if hasty else 0.66):
        return ("run", *loop, *_plan(chance, world, loop[1]))
    if kind < 0.80:
        return ("ask", *_plan(chance, world, "api"), *clients.choose(chance, world))
    if kind < 0.92 and (hasty or not loop or world.steps.open or chance.random() < 0.4):  # time is long for machines
        return ("advance", chance.choice(JUMPS))
    if kind < 0.92:
        return ("resume", "0")
    return _mishap(chance, world)


def _loop(chance: random.Random, world: World, sure: bool) -> tuple[str, str] | None:
    """A loop that has work, or may have; rather one that could meet a step that stands still."""
    found = [
        (name, each.name)
        for name, process in world.replicas.items()
        for each in process.loops.values()
        if (each.ready() if sure else each.perhaps) and not world.under_way_loop(name, each.name)
    ]
    services = {each.replica.partition("/")[0] for each in world.steps.open}
    near = [each for each in found if each[0].partition("/")[0] in services]
    if near and chance.random() < 0.6:
        found = near
    return chance.choice(found) if found else None


def _plan(chance: random.Random, world: World, loop: str) -> tuple[str, str, str]:
    if chance.random() >= FAULTS:
        return ("", "1", "")
    what = chance.choice(["suspend", "suspend", "suspend", "crash", "fail"])
    if what == "suspend" and len(world.steps.open) >= MAX_OPEN:
        what = "fail"
    point = chance.choice(POINTS.get(loop, _DB))
    nth = chance.randrange(1, 16) if point == "db.statement" else chance.choice([1, 1, 2, 3])
    return (point, str(1 if point.startswith("send") else nth), what)


def _mishap(chance: random.Random, world: World) -> Action:
    group = chance.choice(("routing", "routing", "sla", "notify"))
    if world.down and chance.random() < 0.7:
        return ("start", chance.choice(world.down))
    return chance.choices(
        [
            ("hold", group, chance.choice(world.fronts[group].runtime.service.card.consumes)),
            ("hold", "sla", "contacts"),  # as replies that wait while promises come due
            ("let",),
            ("back", group, str(chance.choice((1, 3, 10, 40)))),
            ("twice",),
            ("mood", chance.choice(("slack", "email", "console")), chance.choice(("away", "limited", "refusing"))),
            ("mood", chance.choice(("slack", "email", "console")), ""),
            ("crash", chance.choice(REPLICAS)),
            ("drop", chance.choice(("intake", "routing", "sla", "notify", "log"))),
            ("idle", chance.choice(REPLICAS)),
        ],
        weights=[4, 5, 12, 10, 3, 3, 5, 4, 1, 2],
    )[0]


async def perform(world: World, action: Action) -> None:
    """Do it; what means nothing now is passed over."""
    what, arguments = action[0], action[1:]
    match what:
        case "run":
            await _run(world, arguments[0], arguments[1], _planned(arguments[2:5]))
        case "ask":
            await ask(world, clients.asked(world, arguments[3:]), _planned(arguments[:3]))
        case "resume":
            parked = [n for n, each in enumerate(world.steps.open) if each.parked]
            if parked:
                await world.resume(parked[int(arguments[0]) % len(parked)])
        case "advance":
            world.advance(world.until_due() if arguments[0] == "due" else timedelta(seconds=float(arguments[0])))
        case "start":
            if arguments[0] in world.down:
                world.start(arguments[0])
        case "crash":
            await world.crash(arguments[0])
        case "idle":
            if arguments[0] in world.replicas:
                world.replicas[arguments[0]].wake()
        case "settle":
            await settle(world)
        case "drop":
            await world.drop_connections(arguments[0])
        case _:
            _wire(world, action)


def _wire(world: World, action: Action) -> None:
    match action:
        case ("hold", group, topic):
            world.wire.held[group] = topic
        case ("let",):
            world.wire.held.clear()
            for service in world.fronts:
                world.wake(service, "worker")
        case ("back", group, count):
            world.wire.back[group] = int(count)
            world.wake(group, "worker")
        case ("twice",):
            world.wire.twice = True
        case ("mood", way, mood):
            world.sinks.moods.pop(way, None)
            if mood:
                world.sinks.moods[way] = mood


def _planned(words: tuple[str, ...]) -> Plan:
    return Plan(words[0], int(words[1]), words[2])


async def _run(world: World, replica: str, loop: str, plan: Plan) -> None:
    found = world.replicas.get(replica)
    if found is None or world.under_way_loop(replica, loop):
        return
    if loop in ("send", "record") and not found.loops[loop].ready():
        return  # it would wait for work
    await world.run(replica, loop, plan)


async def ask(world: World, asked: Asked | None, plan: Plan) -> None:
    if asked is None or sum(each.replica == "intake/api" for each in world.steps.open) >= API_AT_ONCE:
        return
    front = world.fronts[asked.service]
    await world.request(
        asked.service,
        asked.name,
        lambda: front.call(asked.method, asked.path, asked.body, asked.key),
        asked.told,
        plan,
    )


# Quiet


LOOKS = 2  # rounds of taking over what crashed processes held
ROUND = timedelta(seconds=31)  # longer than a lease, and than a claim of a message
MANY = 3_000  # steps of one round: more is going round in circles


async def settle(world: World) -> None:
    """End every mishap, let everything go on, and take enough time for others to take over. Then all is checked."""
    world.wire.held.clear()
    world.wire.back.clear()
    world.sinks.moods.clear()
    await world.finish_open()
    for name in [name for name in REPLICAS if name not in world.replicas]:
        world.start(name)
    for _ in range(LOOKS):
        world.advance(ROUND)
        for service in world.fronts:
            world.wake(service, "worker", "relay", "claims", "desk", "effect")
        while (asked := clients.repeat(world)) is not None:
            await ask(world, asked, Plan())
        await pump(world)
    await checks.all_holds(world)


async def pump(world: World) -> None:
    """Every loop until none has work."""
    for _ in range(MANY):
        loops = ((name, each) for name, process in world.replicas.items() for each in process.loops.values())
        ready = next(((name, each.name) for name, each in loops if each.ready()), None)
        if ready is None:
            return
        await world.run(*ready, Plan())
    raise AssertionError("the loops find more and more work")
