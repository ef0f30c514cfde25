"""``tocsin backtest FILE``: what a ruleset in a file would have done to stored cases, and how that is shown."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from services.config_files.kinds import JSON
from services.config_files.server import Refused, Server
from services.config_files.tables import share, sparkline, table_of

STREAM = "application/x-ndjson"
NARROWEST, BESIDE = 24, 46  # columns of a series, and of what stands beside it


def backtest(server: Server, ruleset: JSON, asked: JSON, tell: Callable[[int, int], None]) -> JSON:
    """The report. ``tell`` gets how many cases are compared, of how many at most. Raises ``Refused``."""
    for line in server.lines("POST", "/v1/rulesets/backtest", {"ruleset": ruleset, **asked}, STREAM):
        if "progress" not in line:
            return line
        tell(line["progress"]["cases"], line["progress"]["limit"])
    raise Refused(f"{server.url} ended the backtest without a report. Repeat it.")


def show(out: Console, report: Mapping[str, Any]) -> None:
    cases, moved = report["cases"], report["moved"]
    whole = "" if report["complete"] else " [yellow](time ran out: the newest only)[/]"
    out.print(f"{cases:,} cases, compared with version {report['against']}{whole}")
    out.print(f"[bold]{moved:,}[/] ({share(moved, cases)}) go to another team;", end=" ")
    out.print(f"of the others {report['priority_changed']:,} get another priority.")
    before, after = report["to_fallback_before"], report["to_fallback_after"]
    out.print(
        f"To the fallback: {before:,} ({share(before, cases)}) before, {after:,} ({share(after, cases)}) after.\n"
    )
    _moves(out, report["moves"])
    if never := report["never_matched"]:
        out.print(f"Rules that match none of them: {', '.join(map(escape, never))}\n")
    for each in report["shadowed"]:
        behind = ", ".join(map(escape, each["taken_by"]))
        out.print(f"{escape(each['rule'])} decides none of the {each['matched']:,} that it matches, behind {behind}\n")
    _load(out, report)
    out.print(f"{escape(report['breaches']['text'])}.")


def _moves(out: Console, moves: list[Mapping[str, Any]]) -> None:
    if not moves:
        return
    table = table_of("from", "to", "cases", "for example", numbers=("cases",))
    for move in moves:
        named = (each.get("number") or str(each["case_id"]) for each in move["examples"])
        table.add_row(escape(move["before"]), escape(move["after"]), f"{move['cases']:,}", ", ".join(named))
    out.print(table)
    out.print()


def _load(out: Console, report: Mapping[str, Any]) -> None:
    """Cases in every hour, before and after on one scale, of the teams that would have others than they had."""
    changed = [each for each in report["load"] if each["hours_before"] != each["hours_after"]]
    if not changed:
        return
    hours = len(changed[0]["hours_before"])
    step = -(-hours // max(NARROWEST, out.width - BESIDE))
    begin = datetime.fromisoformat(report["hours_from"])
    mark = "one hour" if step == 1 else f"busiest of {step} hours"
    out.print(f"Load by the hour since {begin:%Y-%m-%d %H:%M} UTC; a mark: {mark}", highlight=False)
    table = table_of("team", "", "cases", "busiest hour", "", numbers=("cases", "busiest hour"))
    for team in changed:
        series = {name: _busiest(team[f"hours_{name}"], step) for name in ("before", "after")}
        scale = max(*series["before"], *series["after"])
        for name, values in series.items():
            named = escape(team["team"]) if name == "before" else ""
            busiest = f"{team[f'busiest_hour_{name}']:,}"
            table.add_row(named, name, f"{team[name]:,}", busiest, sparkline([*values, scale])[:-1])
    out.print(table)
    if same := len(report["load"]) - len(changed):
        out.print(f"{same} {'team has' if same == 1 else 'teams have'} the same load as before")
    out.print()


def _busiest(hours: list[int], step: int) -> list[int]:
    return [max(hours[start : start + step]) for start in range(0, len(hours), step)]


def as_json(report: JSON) -> str:
    return json.dumps(report, ensure_ascii=False, indent=1)
