"""Scenes 1 and 2: the server is up and configured; the morning's contacts come in and are counted."""

import time
from collections import Counter
from collections.abc import Callable

from services.demo import configured, words
from services.demo.arrivals import Arrival, morning
from services.demo.claims import Failed
from services.demo.client import together
from services.demo.stage import Stage

PLACED_WITHIN = "PT10S"
ACTIVITIES_AT_ONCE = 200
ONE_OF_EACH = ("/v1/contacts", "/v1/rulesets", "/v1/clocks", "/v1/pages")  # a path of every service


async def up(stage: Stage) -> None:
    screen = stage.screen
    screen.scene(1, "Up")
    with screen.busy("starting embedded Postgres and four services"):
        seconds = await stage.server.start()
    served = (await stage.api.get("/openapi.json"))["paths"].keys()
    missing = [path for path in ONE_OF_EACH if path not in served]
    screen.claim(
        not missing,
        f"embedded Postgres and four services, one process, one port, in {seconds:.1f} s:",
        f"the server does not serve {', '.join(missing)}",
    )
    screen.say(f"[bold]{stage.server.url}/docs[/]")
    documents = list(configured.documents(stage.clock.now()))
    with screen.bar("configuring by PUT, as you would", len(documents) + 1) as step:
        for path, body in documents:
            await stage.api.put(path, body)
            step()
        made = await stage.api.post("/v1/rulesets", configured.ruleset())
        stage.ruleset = made["version"]
        await stage.api.post(f"/v1/rulesets/{stage.ruleset}/activate")
        step()
    kinds = Counter(path.split("/")[2] for path, _ in documents)
    made_of = [f"{n} {kind.replace('-', ' ')}" for kind, n in kinds.items() if n > 1]
    screen.say(f"{', '.join(made_of)}, a calendar, a ruleset", "dim")


async def arrive(stage: Stage) -> None:
    screen, count = stage.screen, stage.contacts - 1
    screen.scene(2, f"{count} contacts arrive")
    sources = len(words.SOURCES)
    screen.say(f"A payments company's last hour, from {sources} systems. The {_th(stage.contacts)} comes later.")
    stage.morning = morning(stage.seed, count, stage.clock.now())
    began = time.monotonic()
    with screen.bar("POST /v1/contacts", count) as step:
        await together(_post(stage, each, step) for each in stage.morning.openers)
        await together(_post(stage, each, step) for each in stage.morning.follow_ups)
    seconds = time.monotonic() - began
    await _agents_answer(stage)
    await _count(stage, await _placed(stage), seconds)


async def _post(stage: Stage, arrival: Arrival, step: Callable[[], None]) -> None:
    stage.accepted[arrival.external_id] = await stage.api.post("/v1/contacts", arrival.body)
    step()


async def _agents_answer(stage: Stage) -> None:
    """What agents had done by then, as an upstream would hand it over: in batches."""
    activities = stage.morning.activities
    for start in range(0, len(activities), ACTIVITIES_AT_ONCE):
        for result in await stage.api.lines("/v1/activities/batch", activities[start : start + ACTIVITIES_AT_ONCE]):
            if result["status"] >= 400:
                raise Failed(f"Line {result['line']} of a batch of activities was refused: {result['detail']}")


async def _placed(stage: Stage) -> Counter[str]:
    """How many cases each team has."""
    teams: Counter[str] = Counter()

    async def ask(case_id: str) -> None:
        answer = await stage.api.get(f"/v1/cases/{case_id}/assignment", wait=PLACED_WITHIN)
        teams[answer["team"]] += 1
        step()

    with stage.screen.bar("asking where each case went", len(stage.cases)) as step:
        await together(ask(case_id) for case_id in sorted(stage.cases))
    return teams


async def _count(stage: Stage, teams: Counter[str], seconds: float) -> None:
    screen, day = stage.screen, stage.morning
    channels: Counter[str] = Counter()
    leaked = 0

    async def read(arrival: Arrival) -> None:
        nonlocal leaked
        found = await stage.api.get(f"/v1/contacts/{stage.accepted[arrival.external_id]['contact_id']}")
        channels[found["channel"]] += 1
        leaked += words.PASTED_CARD in str(found)
        step()

    with screen.bar("reading every contact back", len(day.all)) as step:
        await together(read(each) for each in day.all)
    by_channel = screen.bars(list(channels.items()), "contacts by channel")
    screen.beside(by_channel, screen.bars(list(teams.items()), "cases by team"))
    accepted = len({answer["contact_id"] for answer in stage.accepted.values()})
    screen.claim(
        accepted == len(day.all) and channels.total() == accepted,
        f"{accepted} of {len(day.all)} accepted in {seconds:.1f} s, and each can be read back",
        f"only {accepted} of {len(day.all)} were accepted, and {channels.total()} can be read back",
    )
    screen.claim(
        len(stage.cases) == len(day.openers) and teams.total() == len(stage.cases),
        f"{len(stage.cases)} cases: {len(day.follow_ups)} contacts joined one by their thread; every case has a team",
        f"{len(stage.cases)} cases where {len(day.openers)} were due; {teams.total()} of them have a team",
    )
    pasted = sum(each.has_card for each in day.openers)
    if pasted:
        screen.claim(
            leaked == 0,
            f"{pasted} customers pasted a card number; none is stored",
            f"{leaked} of {pasted} pasted card numbers can be read back",
        )


def _th(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if not 10 <= number % 100 <= 20 else "th"
    return f"{number}{ending}"
