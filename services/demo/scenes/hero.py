"""Scenes 3 to 5: one contact, why it went where it went, and what was promised."""

import asyncio
from datetime import datetime
from typing import Any

from services.demo import configured
from services.demo.arrivals import hero
from services.demo.claims import Failed, Refused
from services.demo.stage import Hero, Stage
from shared.contracts import duration

PLACED_WITHIN = "PT10S"
CLOCK_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05  # whether the clock is there: the API has no event for it


async def meets(stage: Stage) -> None:
    """The contact that everything after this is about."""
    screen = stage.screen
    contact = hero()
    screen.scene(3, 'One of them: "Payout missing"')
    answer = await stage.api.post("/v1/contacts", contact.body)
    stage.accepted[contact.external_id] = answer
    stage.known_hero = Hero(contact.body, answer["contact_id"], answer["case_id"], answer["case_number"])
    customer = contact.body["customer"]
    screen.say(f"[bold]{answer['case_number']}[/]  {customer['name']}, {customer['tier']}, {customer['country']}")
    screen.quote(contact.body["body"], "italic")
    screen.claim(
        answer["opened_case"],
        "answered 202, with a case of its own",
        "it did not open a case",
    )


async def routed(stage: Stage) -> None:
    """Which rule took it, and why the ones before did not."""
    screen = stage.screen
    screen.scene(4, "Routed, and why")
    found = await stage.api.get(f"/v1/cases/{stage.hero.case_id}/assignment", wait=PLACED_WITHIN)
    for each in found["why_not"] or []:
        screen.quote(f"no   {each['rule']}: {each['because']}", "dim")
    screen.quote(f"yes  {found['because']['text']}")
    tags = f", tagged {', '.join(found['tags'])}" if found["tags"] else ""
    screen.say(f"so: team [bold]{found['team']}[/], priority [bold]{found['priority']}[/]{tags}")
    passed = [each["rule"] for each in found["why_not"] or []]
    ours = [rule["id"] for rule in configured.ruleset()["rules"]]
    expected = ours[: ours.index(configured.HERO_RULE)]
    screen.claim(
        found["rule"] == configured.HERO_RULE and passed == expected,
        f"rule {found['rule']} of version {found['ruleset_version']}, and {len(passed)} before it say why they did not",
        f"expected rule {configured.HERO_RULE} after {expected}, and got {found['rule']} after {passed}",
    )


async def promised(stage: Stage) -> None:
    """The promise as a sentence, and its deadline as an instant."""
    screen = stage.screen
    screen.scene(5, "A promise, kept as a clock")
    clock = await first_reply(stage)
    derived = await stage.api.get(f"/v1/clocks/{clock['id']}/derivation")
    screen.quote(clock["because"]["text"])
    screen.quote(f"How so: {derived['sentence']}", "dim")
    stage.due_at = datetime.fromisoformat(clock["due_at"])
    kept = await stage.api.get(f"/v1/contacts/{stage.hero.contact_id}")
    length = stage.due_at - datetime.fromisoformat(kept["occurred_at"])
    screen.claim(
        length == configured.HERO_WITHIN and derived["agrees"],
        f"due exactly {duration.words(length)} after the customer wrote; counted again, it agrees",
        f"due {length} after the customer wrote, where {configured.HERO_WITHIN} was promised;"
        f" counted again: {derived['recomputed_due_at']}",
    )


async def first_reply(stage: Stage) -> dict[str, Any]:
    """The hero's clock, as soon as it runs: assignments reach sla a moment after they are made."""
    try:
        async with asyncio.timeout(CLOCK_WITHIN_S):
            while not (found := await _first_replies(stage)):
                await asyncio.sleep(LOOK_EVERY_S)
            return found[0]
    except TimeoutError:
        raise Failed(f"Case {stage.hero.number} has no clock for its first reply.") from None


async def _first_replies(stage: Stage) -> list[dict[str, Any]]:
    try:
        listed = await stage.api.get(f"/v1/cases/{stage.hero.case_id}/clocks")
    except Refused as not_yet:
        if not_yet.status != 404:
            raise
        return []
    return [each for each in listed["items"] if each["metric"] == "first_reply"]
