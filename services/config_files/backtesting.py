"""``tocsin backtest FILE``: what a ruleset in a file would have done to stored cases, and how that is shown."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from services.config_files.kinds import JSON
from services.config_files.server import Refused, Server
from services.config_files.tables import sparkline, table_of

STREAM = "application/x-ndjson"
NOT_THERE = (404, 405)  # answers of a server that tries only what it has stored
MAX_EXAMPLES = 3


def backtest(server: Server, ruleset: JSON, asked: JSON, tell: Callable[[int, int], None]) -> JSON:
    """The report. ``tell`` gets how many cases are compared, of how many at most. Raises ``Refused``."""
    try:
        for line in server.lines("POST", "/v1/rulesets/backtest", {"ruleset": ruleset, **asked}, STREAM):
            if "progress" not in line:
                return line
            tell(int(line["progress"]["cases"]), int(line["progress"].get("limit") or 0))
    except Refused as refused:
        if refused.status in NOT_THERE:
            return _by_a_draft(server, ruleset, asked)
        raise
    raise Refused(f"{server.url} ended the backtest without a report. Repeat it.")


def _by_a_draft(server: Server, ruleset: JSON, asked: JSON) -> JSON:
    """A draft, laid aside afterwards."""
    draft = f"/v1/rulesets/{server.call('POST', '/v1/rulesets', {**ruleset, 'note': 'backtest'})['version']}"
    try:
        report: JSON = server.call("POST", f"{draft}/backtest", asked)
    finally:
        server.call("POST", f"{draft}/retire", {"reason": "it was made for a backtest"})
    return report


def show(out: Console, report: Mapping[str, Any]) -> None:
    cases, moved = report["cases"], report["moved"]
    whole = "" if report["complete"] else " [yellow](time ran out: the newest only)[/]"
    out.print(f"{cases} cases, compared with version {report['against']}{whole}")
    out.print(f"[bold]{moved}[/] ({_share(moved, cases)}) go to another team;", end=" ")
    out.print(f"of the others {report['priority_changed']} get another priority.")
    before, after = report["to_fallback_before"], report["to_fallback_after"]
    out.print(f"To the fallback: {before} ({_share(before, cases)}) before, {after} ({_share(after, cases)}) after.\n")
    _moves(out, report["moves"])
    if never := report.get("never_matched"):
        out.print(f"Rules that match none of them: {', '.join(map(escape, never))}\n")
    for each in report.get("shadowed") or ():
        behind = ", ".join(map(escape, each["taken_by"]))
        out.print(f"{escape(each['rule'])} decides none of the {each['matched']} that it matches, behind {behind}\n")
    _load(out, report.get("load") or [])
    if breaches := report.get("breaches"):
        out.print(escape(breaches["text"]))


def _moves(out: Console, moves: list[Mapping[str, Any]]) -> None:
    if not moves:
        return
    table = table_of("from", "to", "cases", "for example")
    for move in moves:
        named = (each.get("number") or str(each["case_id"]) for each in move["examples"][:MAX_EXAMPLES])
        table.add_row(escape(move["before"]), escape(move["after"]), str(move["cases"]), ", ".join(named))
    out.print(table)
    out.print()


def _load(out: Console, load: list[Mapping[str, Any]]) -> None:
    """Cases per hour of the day, before and after on one scale."""
    if not load:
        return
    table = table_of("team", "", "cases", "by hour of the day, UTC", "busiest hour")
    for each in load:
        scale = max((*each["by_hour_before"], *each["by_hour_after"]), default=0)
        for name in ("before", "after"):
            line = sparkline([*each[f"by_hour_{name}"], scale])[:-1]
            busiest = str(each[f"busiest_hour_{name}"])
            table.add_row(escape(each["team"]) if name == "before" else "", name, str(each[name]), line, busiest)
    out.print(table)
    out.print()


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def as_json(report: JSON) -> str:
    return json.dumps(report, ensure_ascii=False, indent=1)
