"""The demo from its first line to its exit code: what stands around the server, the scenes in order, a clean end."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from services.demo.claims import Claims, Failed
from services.demo.client import Lost, client
from services.demo.mailbox import mailbox
from services.demo.scenes import closing, crash, hero, opening, paging
from services.demo.screen import Screen
from services.demo.server import own_server
from services.demo.slack import slack_stand_in
from services.demo.stage import Stage
from shared.clock import SystemClock

Scene = Callable[[Stage], Awaitable[None]]

SCENES: tuple[Scene, ...] = (
    opening.up,
    opening.arrive,
    hero.meets,
    hero.routed,
    hero.promised,
    paging.warned,
    paging.breached,
    paging.taken,
    crash.killed,
    closing.what_if,
    closing.account,
    closing.next_steps,
)
LAST_WORDS_S = 2.0  # for the server to be seen to have ended, when it answers no more
INTERRUPTED = 130  # by convention: 128 and the number of SIGINT


def run(seed: int, contacts: int, leave: bool) -> int:
    """Tell the story; gives the exit code. ``leave``: end after it instead of staying up until Ctrl-C."""
    return asyncio.run(_run(seed, contacts, leave))


async def _run(seed: int, contacts: int, leave: bool) -> int:
    clock, claims = SystemClock(), Claims()
    screen = Screen(clock, claims)
    asked = _end_on_signal()
    told = False
    try:
        async with _stage(screen, seed, contacts) as stage:
            began = time.monotonic()
            for scene in SCENES:
                await _watched(stage, scene)
            screen.verdict(time.monotonic() - began)
            told = True
            if not leave:
                screen.say("Still up, and yours to try. Ctrl-C ends it, and nothing stays behind.")
                await stage.server.watch()
    except asyncio.CancelledError:
        if not asked.is_set():
            raise
        screen.say("Ended: its processes and its data are gone.")
        if not told:
            return INTERRUPTED
    except (Failed, *Lost, BaseExceptionGroup) as wrong:
        screen.wrong(cause(wrong))
        return 1
    return 1 if claims.broken else 0


@asynccontextmanager
async def _stage(screen: Screen, seed: int, contacts: int) -> AsyncIterator[Stage]:
    """Everything that the story needs; all of it ends with it, the server first."""
    clock = screen.clock
    async with slack_stand_in(clock) as slack, mailbox(clock) as box:
        around = {
            "SLACK_API_URL": slack.api_url,
            "SLACK_TOKEN": slack.token,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "SMTP_URL": box.url,
            "SMTP_FROM": "tocsin@acme.example",
        }
        async with own_server(around) as server, client(server.url, server.key) as api:
            slack.interactions_url = f"{server.url}/v1/slack/interactions"
            yield Stage(screen, clock, server, slack, box, api, seed, contacts)


async def _watched(stage: Stage, scene: Scene) -> None:
    """Play a scene; a server that ends by itself meanwhile ends it too, with the server's last words."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(stage.server.watch())
        try:
            await scene(stage)
        except (*Lost, BaseExceptionGroup):
            await asyncio.wait([watching], timeout=LAST_WORDS_S)
            raise
        watching.cancel()


def _end_on_signal() -> asyncio.Event:
    """Let Ctrl-C and its like end the task at hand, once: what they end needs its time to clean up."""
    asked, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end() -> None:
        if not asked.is_set():
            asked.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    return asked


def cause(wrong: BaseException) -> str:
    """The first thing that went wrong, in words. What is no known kind of trouble is a bug, and raised as it is."""
    while isinstance(wrong, BaseExceptionGroup):
        # Why the server died tells more than that it did not answer.
        wrong = min(wrong.exceptions, key=lambda each: isinstance(each, Lost))
    if isinstance(wrong, Failed):
        return str(wrong)
    if isinstance(wrong, Lost):
        return f"The server did not answer: {wrong or type(wrong).__name__}."
    raise wrong
