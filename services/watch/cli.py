"""``tocsin watch``."""

import asyncio
import signal
import sys
from typing import Annotated

import typer
import uvloop
from pydantic import ValidationError

from services.watch.settings import WATCH_PREFIX, WatchSettings
from services.watch.tocsin import Trouble
from services.watch.watcher import Watcher
from shared import telemetry


def watch(
    set_up: Annotated[bool, typer.Option("--set-up", help="Only make what the watcher needs, and end")] = False,
    once: Annotated[bool, typer.Option("--once", help="One round; exit code 1 where no page came")] = False,
) -> None:
    """Watch a Tocsin from outside: a contact each minute, whose page must come; calls people by a way of its own."""
    telemetry.configure("watch", "INFO", None)
    try:
        settings = WatchSettings()
    except ValidationError as wrong:
        for each in wrong.errors():
            name = WATCH_PREFIX + str(each["loc"][0]).upper() if each["loc"] else ""
            print(f"tocsin watch: {name} {each['msg']}".replace("  ", " "), file=sys.stderr)
        raise SystemExit(2) from None
    try:
        uvloop.run(_run(Watcher(settings), set_up, once))
    except Trouble as trouble:
        print(f"tocsin watch: {trouble}", file=sys.stderr)
        raise SystemExit(1) from None
    except asyncio.CancelledError:
        pass


async def _run(watcher: Watcher, set_up: bool, once: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    for stopper in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stopper, task.cancel)
    if set_up:
        await watcher.set_up()
        await watcher.close()
        print("The watcher's team, destination, escalation policy and promise are there.")
    elif once:
        raise SystemExit(0 if await watcher.once() else 1)
    else:
        await watcher.run()
