"""The ``tocsin`` command."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from services import embedded
from services import sql as asking
from services.admin import fail, keys_app, parked_app, run
from services.config_files.cli import files_app
from services.config_files.trials_cli import trials_app
from services.demo import story
from services.sla.store import SlaStore
from services.sla.store.audit import audited
from services.watch.cli import watch
from shared import ledger as ledger_lines
from shared import migrate as migrations
from shared.process import Base, Member, base, prepare
from shared.settings import Settings, read_settings

app = typer.Typer(
    help="Event-driven escalation for support teams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
sla_app = typer.Typer(help="Promises and their clocks.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(parked_app, name="parked")
app.add_typer(sla_app, name="sla")
app.add_typer(files_app)
app.command()(watch)
app.add_typer(trials_app)

out = Console()


def main() -> None:
    app()


@app.command()
def up() -> None:
    """Run everything in this process: embedded Postgres (unless TOCSIN_DATABASE_URL is set), all four services."""
    settings = read_settings()

    def ready(url: str) -> None:
        print(f"Tocsin is up: {url}   (documentation: {url}/docs, stop: Ctrl-C)", file=sys.stderr, flush=True)

    run(embedded.up(settings, ready))


@app.command()
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="End after the story, for scripts")] = False,
    seed: Annotated[int, typer.Option(help="Another seed, other contacts; the same seed, the same ones")] = 1,
    contacts: Annotated[int, typer.Option(min=40, max=5_000, help="How many contacts arrive")] = 300,
) -> None:
    """Two minutes on a server of its own that show what Tocsin does. Exit code 1 where a claim did not hold."""
    raise SystemExit(story.run(seed, contacts, leave))


@app.command()
def migrate(
    check: Annotated[bool, typer.Option(help="Compare the tables in code with the migrations")] = False,
    new: Annotated[str | None, typer.Option(help="Write a new migration for this service (for developers)")] = None,
    message: Annotated[str, typer.Option(help="What the new migration does")] = "change",
) -> None:
    """Bring every schema to the newest version, and make the objects of a first start.

    --check and --new use a throwaway embedded Postgres, and touch no database of yours.
    """

    async def work(settings: Settings) -> None:
        async with base(settings) as on:
            if not check and new is None:
                await prepare(on, embedded.MEMBERS)
                return
            found = 0
            for member in embedded.MEMBERS:
                found += await _drift(on, member, new, message)
            if found:
                fail("the tables in code and the migrations differ; write one with `tocsin migrate --new SERVICE`")

    if not check and new is None:
        run(work(read_settings()))
        return
    with tempfile.TemporaryDirectory() as folder:  # these concern the code alone, so no database of yours is touched
        Path(folder).chmod(0o711)  # Postgres runs as another user where we are root
        run(work(Settings(database_url=None, data_dir=Path(folder) / "data")))


async def _drift(on: Base, member: Member, new: str | None, message: str) -> int:
    service = member.service()
    db = on.database(service.card.name)
    try:
        await migrations.upgrade(db, service)
        if new is not None:
            if new == service.card.name:
                await migrations.revise(db, service, message)
            return 0
        differences = await migrations.drift(db, service)
        for difference in differences:
            print(f"{service.card.name}: {difference}")
        return len(differences)
    finally:
        await db.close()


@sla_app.command("audit")
def sla_audit(as_json: Annotated[bool, typer.Option("--json", help="For programs: a finding a line")] = False) -> None:
    """Derive every clock again and count every deadline again. Exit code 1 where any differs from what stands."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            db, cases, clocks, differ = on.database("sla"), 0, 0, 0
            try:
                async for some, theirs, found in audited(db, SlaStore(), on.clock):
                    cases, clocks, differ = cases + some, clocks + theirs, differ + len(found)
                    for each in found:
                        what = {"case_id": each.case_id, "clock_id": each.clock_id, "metric": each.metric}
                        if as_json:
                            print(json.dumps(what | {"instance": each.instance, "text": each.text}, default=str))
                        else:
                            print(f"{each.case_id} {each.metric} {each.instance} ({each.clock_id}): {each.text}")
            finally:
                await db.close()
            print(f"{clocks} clocks of {cases} cases re-derived, {differ} differ", file=sys.stderr)
            if differ:
                raise SystemExit(1)

    run(work())


def admin_key(settings: Settings) -> str:
    """The key to call our own API with."""
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    file = settings.data_dir / "admin-key"
    if file.exists():
        return file.read_text().strip()
    fail("set TOCSIN_ADMIN_KEY to a key with the scope `read`")


@app.command()
def ledger(
    url: Annotated[list[str] | None, typer.Option(help="A service; repeat for services that run apart")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False,
) -> None:
    """Where everything accepted is, per hop. Exit code 1 where it does not balance."""
    settings = read_settings()
    headers = {"Authorization": f"Bearer {admin_key(settings)}"}
    entries = []
    for each in url or [settings.url]:
        answer = httpx.get(f"{each.rstrip('/')}/v1/ledger", headers=headers, timeout=30)
        if answer.is_error:
            fail(f"{each} answered {answer.status_code}: {answer.text[:300]}")
        for line in answer.json()["lines"]:
            entries += [ledger_lines.Entry(line["hop"], line["unit"], t, n) for t, n in line["terms"].items()]
    lines = ledger_lines.merge(entries)
    if as_json:
        print(json.dumps([{"hop": x.hop, "unit": x.unit, "terms": x.terms, "difference": x.difference} for x in lines]))
    else:
        terms = [term for term in ledger_lines.TERMS if any(line.terms.get(term) for line in lines)]
        table = Table("hop", "unit", *(term.replace("_", " ") for term in terms), "difference", box=None)
        for line in lines:
            counts = (str(line.terms.get(term, "")) for term in terms)
            table.add_row(line.hop, line.unit, *counts, str(line.difference) if line.whole else "–")
        out.print(table)
    if any(line.difference for line in lines if line.whole):
        raise SystemExit(1)


@app.command()
def sql(
    command: Annotated[str | None, typer.Option("-c", help="One statement; without it, psql or a prompt")] = None,
    how: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
) -> None:
    """Ask the database about kept and broken promises (view `sla.compliance`), read-only."""

    async def work() -> None:
        async with base(read_settings(), attach=True) as on:
            db = on.database("sla")
            try:
                if command is not None:
                    asking.show(*await asking.ask(db, command), how)
                elif asking.has_psql():
                    await asking.psql(on.url, await asking.may_read(db))
                else:
                    await asking.converse(db, how)
            except DBAPIError as wrong:
                fail(str(wrong.orig).splitlines()[0])
            finally:
                await db.close()

    run(work())


if __name__ == "__main__":
    main()
