"""Scenes 6 to 8: the warning, the breach to the millisecond, the person on call, and somebody who takes it."""

import asyncio
from datetime import timedelta
from typing import Any

from services.demo import blocks, configured
from services.demo.scenes.hero import first_reply
from services.demo.slack import Post
from services.demo.stage import Stage

LATE_AT_MOST_MS = 1_000
PATIENCE_S = 10.0
PRESS_WITHIN_S = 15
LOOK_EVERY_S = 0.25  # whether somebody acknowledged: the API has no event for it


async def warned(stage: Stage) -> None:
    """At 90 % of the promise the team's channel hears of it."""
    screen, share = stage.screen, configured.HERO_WARN_AT
    warn_at = stage.deadline - configured.HERO_WITHIN * (1 - share)
    first = stage.slack.received.first(lambda post: post.mentions(stage.hero.number))
    post = await screen.until(warn_at, f"{stage.hero.number} is unanswered; {share:.0%} warns", first, PATIENCE_S)
    screen.scene(6, f"{share:.0%} of it is gone: {configured.HERO_CHANNEL} is warned")
    if post is None:
        screen.claim(False, "", f"no warning came within {PATIENCE_S:.0f} s: {await _sent(stage)}")
        return
    screen.slack(post, "as Slack shows it")
    after = (post.arrived_at - warn_at) / timedelta(milliseconds=1)
    screen.claim(
        post.channel == configured.HERO_CHANNEL and warn_at <= post.arrived_at < stage.deadline,
        f"{after:.0f} ms after {share:.0%}, and before the promise is broken",
        f"the warning came to {post.channel}, {after:.0f} ms after {share:.0%}",
    )


async def breached(stage: Stage) -> None:
    """Nobody answered: the page, and how late it is."""
    screen, due = stage.screen, stage.deadline
    page = stage.slack.received.first(lambda post: post.mentions(stage.hero.number) and post.arrived_at >= due)
    post = await screen.until(due, f"{stage.hero.number} is unanswered; the promise breaks", page, PATIENCE_S)
    screen.scene(7, "Broken: the page")
    if post is None:
        screen.claim(False, "", f"no page came within {PATIENCE_S:.0f} s of the deadline: {await _sent(stage)}")
        return
    screen.slack(post)
    late = (post.arrived_at - due) / timedelta(milliseconds=1)
    screen.claim(
        0 <= late <= LATE_AT_MOST_MS,
        f"in Slack {late:.0f} ms after the deadline, and not before it",
        f"the page came {late:.0f} ms after the deadline; {LATE_AT_MOST_MS} ms were promised",
    )
    _says_all(stage, post)


def _says_all(stage: Stage, post: Post) -> None:
    """Everything that a person must know to act is in the message itself."""
    words = "\n".join(line.text for line in blocks.lines(post.payload)).lower()
    labels = [button.label.lower() for button in blocks.buttons(post.payload)]
    parts = {
        "the case": stage.hero.number.lower() in words,
        "the promise": "first reply" in words,
        "how late it is": " late" in words,
        "why it came here": configured.HERO_RULE in words,
        "an Acknowledge button": "acknowledge" in labels,
    }
    lacking = [part for part, there in parts.items() if not there]
    stage.screen.claim(not lacking, f"it has {', '.join(parts)}", f"it lacks {', '.join(lacking)}")


async def taken(stage: Stage) -> None:
    """The next step reaches a person, who takes it; then the customer is answered, late."""
    screen = stage.screen
    screen.scene(8, "A person is told, and takes it")
    on_call = await stage.api.get(f"/v1/schedules/{configured.ON_CALL}/on-call")
    person = on_call["people"][0]["person"]
    mailed = stage.mailbox.received.first(lambda mail: stage.hero.number in str(mail.message["Subject"]))
    due = stage.deadline + configured.EMAIL_AFTER
    mail = await screen.until(due, f"nobody took it in the channel; {person} is next", mailed, PATIENCE_S)
    if mail is None:
        screen.claim(False, "", f"no email came to {person} within {PATIENCE_S:.0f} s: {await _sent(stage)}")
    else:
        screen.mail(mail)
        screen.claim(
            mail.recipients == (configured.email_of(person),),
            f"mailed to {person}, who is on call by {configured.ON_CALL}",
            f"mailed to {', '.join(mail.recipients)}, and {person} is on call",
        )
    await _acknowledge(stage, person, mail.link(stage.server.url) if mail else None)
    await _answer_late(stage)


async def _acknowledge(stage: Stage, person: str, link: str | None) -> None:
    screen = stage.screen
    page = await _page(stage)
    stage.page_id = page["id"]
    screen.say(f"Press [bold]Acknowledge[/] in your browser within {PRESS_WITHIN_S} s. By the link in the mail:")
    screen.code([link or "(no mail came)"])
    screen.say("or by the button in Slack:")
    screen.code([stage.slack.url])
    until = stage.clock.now() + timedelta(seconds=PRESS_WITHIN_S)
    pressed = await screen.until(until, f"else {person} does it by the API", _acknowledged(stage), 0)
    if pressed is None:
        await stage.api.post(f"/v1/pages/{stage.page_id}/acknowledge", {"by": person})
    page = await _page(stage)
    how = "in your browser" if pressed else "by the API, as nobody pressed"
    unsent = [each for each in await _deliveries(stage) if each["state"] in ("queued", "held", "unknown")]
    calls = [each for each in unsent if each["purpose"] == "call"]  # the news that it was taken may still be on its way
    screen.claim(
        page["state"] == "acknowledged" and not calls,
        f"acknowledged by {page['acknowledged_by']}, {how}; no call waits to be sent",
        f"the page is {page['state']} after it was acknowledged, and {len(calls)} calls wait to be sent",
    )


async def _deliveries(stage: Stage) -> list[dict[str, Any]]:
    return await stage.api.every("/v1/deliveries", case_id=stage.hero.case_id)


async def _sent(stage: Stage) -> str:
    """What became of the messages about the hero, for when one is missing."""
    found = [f"{each['target']} by {each['way']}: {each['state']}" for each in await _deliveries(stage)]
    return "; ".join(found) or "no message was made"


async def _page(stage: Stage) -> dict[str, Any]:
    listed = await stage.api.get("/v1/pages", case_id=stage.hero.case_id)
    found: dict[str, Any] = listed["items"][0]
    return found


async def _acknowledged(stage: Stage) -> dict[str, Any]:
    while (page := await _page(stage))["state"] == "open":
        await asyncio.sleep(LOOK_EVERY_S)
    return page


async def _answer_late(stage: Stage) -> None:
    """The reply comes after all. The page ends by itself; the clock keeps both truths."""
    screen, contact = stage.screen, stage.hero.contact
    await stage.api.post(
        "/v1/activities",
        {
            "kind": "agent_replied",
            "source": contact["source"],
            "thread": contact["thread"],
            "external_id": f"{contact['thread']}-2",
            "occurred_at": stage.clock.now().isoformat(),
            "actor": "ana",
            "public": True,
        },
    )
    page = await _resolved(stage)
    clock = await first_reply(stage)
    both = clock["breached_at"] and clock["met_at"]
    screen.quote(clock["because"]["text"])
    screen.claim(
        page["state"] == "resolved" and bool(both),
        "the reply came late: the page is over, and the clock keeps that it was broken and that it was met",
        f"after the reply the page is {page['state']}, broken at {clock['breached_at']}, met at {clock['met_at']}",
    )


async def _resolved(stage: Stage) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (page := await _page(stage))["state"] != "resolved":
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return await _page(stage)
    return page
