"""``tocsin pull``, ``diff``, ``test``, ``push`` and ``backtest``."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from services.config_files import backtesting, tables
from services.config_files.checks import Report, check, snapshots, uses
from services.config_files.connecting import CHANGES, ERROR, NOTHING, KeyOption, ServerOption, connect, errors, fail
from services.config_files.documents import Unreadable, read
from services.config_files.folder import KEPT, Finding, Folder, Lock, load, load_lock, placeholders
from services.config_files.kinds import JSON, RULES, Key, canonical
from services.config_files.plan import Plan, plan
from services.config_files.pulling import Pulled, pull
from services.config_files.pushing import Push, missing_secrets
from services.config_files.server import State
from shared.clock import SystemClock

files_app = typer.Typer()
out = Console()

FolderOption = Annotated[Path, typer.Argument(help="The folder with the files, such as ./config")]
DeleteOption = Annotated[bool, typer.Option("--delete", help="Delete what is only on the server")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Also what changed on the other side since the last pull")
]


@files_app.command("pull")
def pull_command(
    folder: FolderOption,
    server: ServerOption = None,
    key_file: KeyOption = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete files of what is gone on the server")] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the server's configuration into files, one a resource. Exit code 1 where an edit stood in the way."""
    with errors(), connect(server, key_file) as on:
        files = load(folder) if folder.is_dir() else Folder(folder, {}, ())
        _refuse(list(files.findings))
        results = pull(files, on.state().known, load_lock(folder, on.url), prune, overwrite)
        tables.show_pulled(out, results)
        raise SystemExit(CHANGES if any(each.what is Pulled.CONFLICT for each in results) else NOTHING)


@files_app.command("diff")
def diff_command(
    folder: FolderOption,
    server: ServerOption = None,
    key_file: KeyOption = None,
    delete: DeleteOption = False,
    how: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """What a push would do, field by field. Exit code 0: nothing; 1: changes; 2: an error."""
    with errors(), connect(server, key_file) as on:
        files = load(folder)
        _refuse(list(files.findings))
        found = _plan(files, on.state(), load_lock(folder, on.url), delete)
        if how == "json":
            print(json.dumps(tables.plan_as_json(found), ensure_ascii=False))
        else:
            tables.show_plan(out, found)
        raise SystemExit(CHANGES if found.acting else NOTHING)


@files_app.command("test")
def test_command(folder: FolderOption) -> None:
    """Check every file and run the tests of the rules, without a server. Exit code 1: a test fails; 2: an error."""
    with errors():
        files = load(folder)
        report = check(files, SystemClock().now())
        tables.show_report(out, report, len(files.documents))
        raise SystemExit(_code(report))


@files_app.command("push")
def push_command(
    folder: FolderOption,
    server: ServerOption = None,
    key_file: KeyOption = None,
    delete: DeleteOption = False,
    activate: Annotated[bool, typer.Option("--activate", help="Make the ruleset the active one")] = False,
    overwrite: OverwriteOption = False,
    secrets: Annotated[bool, typer.Option("--secrets", help="Write secrets of <env NAME> again")] = False,
    note: Annotated[str | None, typer.Option("--note", help="Of the new ruleset, for whoever reads the list")] = None,
) -> None:
    """Bring the server to what the files say. Everything is checked first, and nothing done where anything is wrong.

    Exit code 1: refused, for it changed on the server since the last pull, or a test fails; 2: an error.
    """
    with errors(), connect(server, key_file) as on:
        files, state, lock = load(folder), on.state(), load_lock(folder, on.url)
        _refuse(list(files.findings))
        again = {key for key, each in files.documents.items() if _from_environment(each.body)} if secrets else set()
        found = _plan(files, state, Lock(on.url) if overwrite else lock, delete, again)
        beside = {key: known.body for key, known in state.known.items() if key not in files.documents}
        report = check(files, SystemClock().now(), beside)
        if not report.passed:
            tables.show_report(out, report, len(files.documents))
            fail("Nothing was pushed.", _code(report))
        _refuse(missing_secrets(files, found.acting, os.environ, secrets))
        if found.conflicts:
            tables.show_plan(out, found)
            text = "Nothing was pushed. `tocsin pull --overwrite` takes the server's, `tocsin push --overwrite` yours."
            fail(text, CHANGES)
        _push(Push(on, files, state, lock, os.environ, secrets, activate, note), found)


def _push(push: Push, found: Plan) -> None:
    done = push.run(found, lambda step, text: out.print(f"{tables.marked(step)} {text}", highlight=False))
    if done.failed is None:
        print(f"{len(done.taken)} done." if done.taken else "No changes: the server has what the files say.")
        return
    step, why = done.failed
    print(f"tocsin: {step.key} was refused: {why}", file=sys.stderr)
    left = [str(each.key) for each in done.left]
    print(f"Done: {', '.join(str(each.key) for each, _ in done.taken) or 'nothing'}.", file=sys.stderr)
    print(f"Not done: {', '.join([str(step.key), *left])}. Correct it and push again.", file=sys.stderr)
    raise SystemExit(ERROR)


@files_app.command("backtest")
def backtest_command(
    file: Annotated[Path, typer.Argument(help="The ruleset, such as ./config/ruleset.yaml")],
    server: ServerOption = None,
    key_file: KeyOption = None,
    since: Annotated[str | None, typer.Option(help="Only contacts from then on, such as 2026-11-01T00:00:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="Only contacts before")] = None,
    where: Annotated[
        str | None, typer.Option(help="Only contacts for which this condition holds, as in a rule")
    ] = None,
    sample: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="A share of them")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The newest so many")] = None,
    against: Annotated[int | None, typer.Option(min=1, help="A version; the active one where left out")] = None,
    how: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """What a ruleset would have done to stored cases. Nothing is stored, and no case is touched."""
    given = {"since": since, "until": until, "where": where, "sample": sample, "limit": limit, "against": against}
    asked = {name: value for name, value in given.items() if value is not None}
    with errors(), connect(server, key_file) as on:
        try:
            ruleset = canonical(RULES, read(file.read_text(encoding="utf-8")).body)
        except Unreadable as wrong:
            fail(f"{file}:{wrong.line}: {wrong}", ERROR)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("comparing", total=None)
            report = backtesting.backtest(
                on, ruleset, asked, lambda cases, of: progress.update(task, completed=cases, total=of or None)
            )
        if how == "json":
            print(backtesting.as_json(report))
        else:
            backtesting.show(out, report)


def _plan(files: Folder, state: State, lock: Lock, delete: bool, secrets: set[Key] | None = None) -> Plan:
    bodies = files.bodies()
    gone = {key: known.body for key, known in state.known.items() if key not in bodies}
    active = bodies.get(RULES, state.known[RULES].body)
    in_use = uses(gone, snapshots(bodies, active)) if delete else {}
    return plan(bodies, state.known, lock.known, delete, in_use, secrets or set())


def _code(report: Report) -> int:
    return ERROR if report.errors else NOTHING if report.passed else CHANGES


def _from_environment(body: JSON) -> bool:
    return any(value != KEPT for value in placeholders(body).values())


def _refuse(findings: list[Finding]) -> None:
    if findings:
        fail("\n".join(map(str, findings)), ERROR)
