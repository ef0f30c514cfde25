"""``tocsin keys`` and ``tocsin parked``: what admins do on the machine itself. Each act is audited."""

import getpass
import socket
import sys
from collections.abc import Coroutine
from datetime import timedelta
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
import uvloop
from rich.console import Console
from rich.table import Column, Table

from services import embedded
from shared import parked as parked_events
from shared.audit import Actor
from shared.auth import SCOPES, Keys
from shared.batch import Undecidable
from shared.contracts.catalogue import UnknownEvent
from shared.db import AWAY, is_transient
from shared.errors import Problem
from shared.outbox import EventTooLarge
from shared.process import Base, base, make_log
from shared.runtime import Runtime
from shared.settings import read_settings

keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
parked_app = typer.Typer(help="Events that could not be decided and wait for a person.", no_args_is_help=True)

BY_NAME = {member.service().card.name: member for member in embedded.MEMBERS}
Service = Annotated[str, typer.Argument(help=f"One of {', '.join(BY_NAME)}")]
out = Console()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; a problem is one line, not a traceback."""
    try:
        uvloop.run(work)
    except Problem as problem:
        fail(problem.detail)


def fail(text: str) -> NoReturn:
    print(f"tocsin: {text}", file=sys.stderr)
    raise SystemExit(1)


def folded(*names: str) -> list[Column]:
    """Columns that break long values rather than cut them: ids are there to be copied."""
    return [Column(name, overflow="fold") for name in names]


def _by() -> Actor:
    """Who sits at this machine, as far as it knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        user = "unknown"
    return Actor(user, "cli", address=socket.gethostname())


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is")],
    scope: Annotated[list[str], typer.Option(help=f"May be repeated: {', '.join(SCOPES)}")],
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="It ends after this many days")] = None,
) -> None:
    """Make a key. It is shown once."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            until = on.clock.now() + timedelta(days=days) if days is not None else None
            print(await Keys(on.own, on.clock, on.ids).create(name, scope, until, by=_by()))

    run(work())


@keys_app.command("list")
def keys_list() -> None:
    """All keys, oldest first, without their secrets."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            table = Table(
                Column("id", no_wrap=True), *folded("name", "scopes", "created", "expires", "revoked"), box=None
            )
            for key in await Keys(on.own, on.clock, on.ids).listing():
                table.add_row(
                    str(key["id"]),
                    key["name"],
                    " ".join(key["scopes"]),
                    *(
                        f"{key[at]:%Y-%m-%d %H:%M}" if key[at] else ""
                        for at in ("created_at", "expires_at", "revoked_at")
                    ),
                )
            out.print(table)

    run(work())


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[UUID, typer.Argument()]) -> None:
    """End a key. Services notice within seconds."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            await Keys(on.own, on.clock, on.ids).revoke(key_id, _by())

    run(work())


def _runtime(on: Base, service: str) -> Runtime[Any]:
    if service not in BY_NAME:
        fail(f"there is no service {service!r}; write one of {', '.join(BY_NAME)}")
    return Runtime(on.settings, BY_NAME[service].service(), on.database(service), on.clock, on.ids, make_log(on))


@parked_app.command("list")
def parked_list() -> None:
    """What is parked in every service, oldest first."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            table = Table(*folded("service", "id", "case", "topic", "position", "parked", "error"), box=None)
            for name in BY_NAME:
                runtime = _runtime(on, name)
                async with runtime.db.transaction() as tx:
                    for each in await parked_events.listing(tx):
                        where, at = f"{each['partition']}/{each['position']}", f"{each['parked_at']:%Y-%m-%d %H:%M}"
                        table.add_row(
                            name, str(each["id"]), str(each["case_id"]), each["topic"], where, at, each["error"]
                        )
                await runtime.db.close()
            out.print(table)

    run(work())


@parked_app.command("retry")
def parked_retry(service: Service, case_id: Annotated[UUID, typer.Argument()]) -> None:
    """Decide again about everything parked of a case, in order, all or nothing."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            runtime = _runtime(on, service)
            try:
                print(f"decided {await parked_events.retry(runtime, case_id, _by())} events")
            except (Undecidable, EventTooLarge, UnknownEvent, *AWAY) as wrong:
                if is_transient(wrong):
                    fail(f"the database does not answer, nothing changed; try again: {wrong}")
                fail(f"still undecidable, nothing changed: {wrong}")
            finally:
                await runtime.db.close()

    run(work())


@parked_app.command("drop")
def parked_drop(
    service: Service, parked_id: Annotated[int, typer.Argument()], reason: Annotated[str, typer.Option(help="Kept")]
) -> None:
    """Give up one parked event, for a reason that is kept."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            runtime = _runtime(on, service)
            try:
                await parked_events.drop(runtime, parked_id, reason, _by())
            finally:
                await runtime.db.close()

    run(work())
