"""``tocsin shadow``, ``canary``, ``trials`` and ``rollback``: a version beside the active one, and back."""

import json
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from services.config_files import trials
from services.config_files.connecting import CHANGES, KeyOption, ServerOption, connect, errors
from services.config_files.kinds import JSON
from services.config_files.server import Refused, Server

trials_app = typer.Typer()
shadow_app = typer.Typer(help="A version beside the active one that decides nothing.", no_args_is_help=True)
canary_app = typer.Typer(help="A version that decides a share of new cases.", no_args_is_help=True)
trials_app.add_typer(shadow_app, name="shadow")
trials_app.add_typer(canary_app, name="canary")
out = Console()

VersionArgument = Annotated[int, typer.Argument(min=1, help="A version of the ruleset")]
NewestArgument = Annotated[int | None, typer.Argument(min=1, help="A version; the newest trial where left out")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept")]
FormatOption = Annotated[Literal["table", "json"], typer.Option("--format")]
ForceOption = Annotated[bool, typer.Option("--force", help="Also while a test of the ruleset fails")]


@shadow_app.command("start")
def shadow_start(
    version: VersionArgument, reason: ReasonOption, server: ServerOption = None, key_file: KeyOption = None
) -> None:
    """Count from now on where this version differs from the active one, on new cases."""
    with errors(), connect(server, key_file) as on:
        trials.show(out, on.call("POST", f"/v1/rulesets/{version}/shadow", {"reason": reason}))


@shadow_app.command("report")
def shadow_report(
    version: NewestArgument = None, server: ServerOption = None, key_file: KeyOption = None, how: FormatOption = "table"
) -> None:
    """Where it differed so far."""
    with errors(), connect(server, key_file) as on:
        _tell(_newest(on, "shadow", version), how)


@shadow_app.command("stop")
def shadow_stop(reason: ReasonOption, server: ServerOption = None, key_file: KeyOption = None) -> None:
    """End the shadow that runs. Its report stays."""
    with errors(), connect(server, key_file) as on:
        version = _newest(on, "shadow")["version"]
        trials.show(out, on.call("POST", f"/v1/rulesets/{version}/shadow/stop", {"reason": reason}))


@canary_app.command("start")
def canary_start(
    version: VersionArgument,
    reason: ReasonOption,
    part: Annotated[float, typer.Option("--share", min=0.0, max=0.9, help="Of new cases, such as 0.2")],
    minimum_cases: Annotated[int | None, typer.Option(help="Nothing is judged before so many on each side")] = None,
    fallback_above: Annotated[
        float | None, typer.Option(help="Back where a larger share falls to the fallback")
    ] = None,
    hand_offs_above: Annotated[float | None, typer.Option(help="Back where so many times the hand-offs")] = None,
    hand_offs_within: Annotated[str | None, typer.Option(help="Of a case's placing, such as PT30M")] = None,
    breaches_above: Annotated[float | None, typer.Option(help="Back where so many times the broken promises")] = None,
    force: ForceOption = False,
    server: ServerOption = None,
    key_file: KeyOption = None,
) -> None:
    """Let this version decide a share of new cases; it goes back by itself where a condition breaks."""
    given: dict[str, Any] = {
        "minimum_cases": minimum_cases, "fallback_above": fallback_above, "hand_offs_above": hand_offs_above,
        "hand_offs_within": hand_offs_within, "breaches_above": breaches_above,
    }  # fmt: skip
    rollback = {name: value for name, value in given.items() if value is not None}
    body = {"share": part, "reason": reason, "rollback": rollback, "force": force}
    with errors(), connect(server, key_file) as on:
        trials.show(out, on.call("POST", f"/v1/rulesets/{version}/canary", body))


@canary_app.command("report")
def canary_report(
    version: NewestArgument = None, server: ServerOption = None, key_file: KeyOption = None, how: FormatOption = "table"
) -> None:
    """How it stands against its control. Exit code 1 where it went back by itself."""
    with errors(), connect(server, key_file) as on:
        found = _newest(on, "canary", version)
        _tell(found, how)
        raise SystemExit(CHANGES if found["state"] == "rolled_back" else 0)


@canary_app.command("promote")
def canary_promote(
    reason: ReasonOption, force: ForceOption = False, server: ServerOption = None, key_file: KeyOption = None
) -> None:
    """Make the canary that runs the active version."""
    with errors(), connect(server, key_file) as on:
        version = _newest(on, "canary")["version"]
        on.call("POST", f"/v1/rulesets/{version}/canary/promote", {"reason": reason, "force": force})
        print(f"Version {version} is active.")


@canary_app.command("abort")
def canary_abort(reason: ReasonOption, server: ServerOption = None, key_file: KeyOption = None) -> None:
    """Give new cases back to the active version."""
    with errors(), connect(server, key_file) as on:
        version = _newest(on, "canary")["version"]
        trials.show(out, on.call("POST", f"/v1/rulesets/{version}/canary/abort", {"reason": reason}))


@trials_app.command("trials")
def trials_command(server: ServerOption = None, key_file: KeyOption = None) -> None:
    """What runs beside the active version, and what ran; newest first."""
    with errors(), connect(server, key_file) as on:
        trials.show_list(out, on.call("GET", "/v1/trials")["items"])


@trials_app.command("rollback")
def rollback_command(reason: ReasonOption, server: ServerOption = None, key_file: KeyOption = None) -> None:
    """Bring back the version of the ruleset that was active before this one."""
    with errors(), connect(server, key_file) as on:
        active = on.call("GET", "/v1/rulesets/active")["version"]
        answer = on.call("POST", "/v1/rulesets/rollback", {"reason": reason, "expected_active": active})
        print(f"Version {answer['version']} is active again, {active} is not.")


def _newest(on: Server, kind: str, version: int | None = None) -> JSON:
    """Of a version, else of all; of those the one that runs, as at most one does and it is the newest."""
    if version is None:
        found = (each["version"] for each in on.call("GET", "/v1/trials", limit=500)["items"] if each["kind"] == kind)
        version = next(found, None)
    if version is None:
        raise Refused(f"there was no {kind} yet; `tocsin {kind} start` begins one")
    answer: JSON = on.call("GET", f"/v1/rulesets/{version}/{kind}")
    return answer


def _tell(found: JSON, how: str) -> None:
    if how == "json":
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        trials.show(out, found)
