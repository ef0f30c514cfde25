"""Doing what happens next. An action is a tuple of words: a story can be kept, shortened and told again."""

from datetime import timedelta

from tests.sim import checks, clients
from tests.sim.clients import Asked
from tests.sim.model import Violation
from tests.sim.steps import Plan
from tests.sim.wiring import BATCH, GROUPS
from tests.sim.world import REPLICAS, World

Action = tuple[str, ...]

API_AT_ONCE = 2  # group commits of intake


async def perform(world: World, action: Action) -> None:
    """Do it; what means nothing now is passed over."""
    what, arguments = action[0], action[1:]
    match what:
        case "run":
            await _run(world, arguments[0], arguments[1], _planned(arguments[2:5]))
        case "ask":
            await ask(world, clients.asked(world, arguments[3:]), _planned(arguments[:3]))
        case "resume":
            parked = [n for n, each in enumerate(world.steps.open) if each.parked and each.replica not in world.frozen]
            if parked:
                await world.resume(parked[int(arguments[0]) % len(parked)])
        case "advance":
            jump = {"due": world.until_due, "promise": world.until_promise}.get(arguments[0])
            world.advance(jump() if jump else timedelta(seconds=float(arguments[0])))
        case "start":
            if arguments[0] in world.down:
                world.start(arguments[0])
        case "crash":
            await world.crash(arguments[0])
        case "outage":
            for name in [name for name, each in world.replicas.items() if each.service == arguments[0]]:
                await world.crash(name)
        case "restart":
            for name in [each for each in world.down if each.startswith(arguments[0])]:
                world.start(name)
        case "freeze":
            world.frozen.add(arguments[0])
        case "thaw":
            world.frozen.discard(arguments[0])
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
    if found is None or replica in world.frozen or world.under_way_loop(replica, loop):
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
A_WHILE = timedelta(seconds=1)  # what a worker passes over waits for company, a message for its turn in its channel
TURNS = 60
ROUND = timedelta(seconds=31)  # longer than a lease, and than a claim of a message
LARGE = 200  # a batch
MANY = 3_000  # steps of one round: more is going round in circles


async def settle(world: World) -> None:
    """End every mishap, let everything go on, and take enough time for others to take over. Then all is checked."""
    world.wire.held.clear()
    world.wire.back.clear()
    world.sinks.moods.clear()
    world.frozen.clear()
    await world.finish_open()
    for name in [name for name in REPLICAS if name not in world.replicas]:
        world.start(name)
    for each in world.replicas.values():
        each.batches(LARGE)
    for _ in range(LOOKS):
        await _look(world, ROUND)
    await _look(world, A_WHILE)
    for _ in range(TURNS):
        if not world.work["notify claims"]:
            break
        await _look(world, A_WHILE)
    await checks.all_holds(world)
    await read_again(world, GROUPS[world.seed % len(GROUPS)])
    for each in world.replicas.values():
        each.batches(BATCH)


async def _look(world: World, pause: timedelta) -> None:
    world.advance(pause)
    for service in world.fronts:
        world.wake(service, "worker", "relay", "claims", "desk", "effect")
    while (asked := clients.repeat(world)) is not None:
        await ask(world, asked, Plan())
    await pump(world)


async def read_again(world: World, group: str) -> None:
    """A group that lost its positions reads the whole log once more, and nothing comes of it."""
    before = await checks.tables(world, group)
    world.wire.anew[group] = world.label
    world.wake(group, "worker")
    for name, each in world.replicas.items():
        while each.service == group and each.loops["worker"].ready():
            await world.run(name, "worker", Plan())
    after = await checks.tables(world, group)
    if changed := [name for name in before if before[name] != after[name]]:
        raise Violation(f"once: {group} reads all again, and {', '.join(changed)} is not what it was")


async def pump(world: World) -> None:
    """Every loop until none has work: first those that surely have some."""
    for _ in range(MANY):
        await world.look_around()
        found = max(
            ((each.chance(world.work.get(f"{process.service} {each.name}")), -number, name, each.name)
             for number, (name, process) in enumerate(world.replicas.items())
             for each in process.loops.values() if each.ready()),
            default=None,
        )  # fmt: skip
        if found is None:
            return
        await world.run(*found[2:], Plan())
    raise AssertionError("the loops find more and more work")
