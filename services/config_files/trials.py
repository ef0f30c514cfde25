"""How trials of rulesets look in a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from services.config_files.kinds import JSON
from services.config_files.tables import share, table_of

FALLBACK = "(fallback)"
STANDS = {"broken": "red", "kept": "green", "unclear": "yellow", "too_few": "dim"}


def show(out: Console, trial: JSON) -> None:
    _head(out, trial)
    if trial["looked_at"] is None:
        return
    if trial["kind"] == "shadow":
        _shadow(out, trial["shadow"])
    else:
        _canary(out, trial["canary"])


def show_list(out: Console, trials: Sequence[JSON]) -> None:
    table = table_of("", "trial", "version", "beside", "state", "started", "by", "why")
    for each in trials:
        why = each["ended_because"] or each["reason"]
        part = f"{each['kind']} {each['share']:.1%}" if each["share"] else each["kind"]
        table.add_row(
            str(each["number"]), part, str(each["version"]), str(each["control"]), each["state"],
            _time(each["started_at"]), escape(each["started_by"]), escape(why),
        )  # fmt: skip
    out.print(table)


def _head(out: Console, trial: JSON) -> None:
    part = f", {trial['share']:.1%} of new cases" if trial["share"] else ""
    out.print(
        f"{trial['kind']} {trial['number']} of version {trial['version']} beside version {trial['control']}{part}:"
        f" [bold]{trial['state']}[/], started {_time(trial['started_at'])} by {escape(trial['started_by'])}"
        f" ({escape(trial['reason'])})"
    )
    if trial["ended_at"]:
        out.print(f"ended {_time(trial['ended_at'])} by {escape(trial['ended_by'])}: {escape(trial['ended_because'])}")
    if trial["waiting"]:
        out.print(f"{trial['waiting']} cases are not compared yet")


def _shadow(out: Console, report: JSON) -> None:
    cases = report["cases"]
    kinds = (("moved", "in team"), ("priority_changed", "in priority"), ("tags_changed", "in tags"),
             ("needs_changed", "in what they ask for"))  # fmt: skip
    said = ", ".join(f"{report[name]} {words}" for name, words in kinds if report[name])
    differing = f"[bold]{report['differing']}[/] ({share(report['differing'], cases)}) differ"
    out.print(f"\n{cases} cases compared, {differing}" + (f": {said}." if said else "."))
    active, shadow = report["to_fallback_active"], report["to_fallback_shadow"]
    out.print(f"To the fallback: {active} ({share(active, cases)}), by the shadow {shadow} ({share(shadow, cases)}).")
    for name, words in (("failed", "could not be decided"), ("skipped", "came too fast"), ("unknown", "were erased")):
        if report[name]:
            out.print(f"[yellow]{report[name]} {words}[/] {escape('; '.join(report['failures'] * (name == 'failed')))}")
    if report["differences"]:
        table = table_of("active", "shadow", "cases", "for example")
        for each in report["differences"]:
            named = ", ".join(str(one["number"] or one["case_id"]) for one in each["examples"])
            table.add_row(escape(each["active"]), escape(each["shadow"]), str(each["cases"]), escape(named))
        out.print("", table)
        table = table_of("rule of the active", "rule of the shadow", "cases")
        for each in report["by_rule"]:
            table.add_row(_rule(each["active"]), _rule(each["shadow"]), str(each["cases"]))
        out.print("", table)


def _canary(out: Console, report: JSON) -> None:
    table = table_of("", "canary", "control")
    for words, hits, of in (
        ("cases", "cases", None), ("to the fallback", "fallback", "cases"),
        ("handed off", "handed_off", "watched"), ("broke a promise", "breached", "known"),
    ):  # fmt: skip
        table.add_row(words, *(_part(report[side], hits, of) for side in ("canary", "control")))
    out.print("", table, "")
    for each in report["findings"]:
        out.print(f"[{STANDS[each['standing']]}]●[/] {escape(each['text'])}", highlight=False)


def _part(seen: Any, hits: str, of: str | None) -> str:
    return f"{seen[hits]} of {seen[of]} ({share(seen[hits], seen[of])})" if of else str(seen[hits])


def _rule(name: str | None) -> str:
    return escape(name or FALLBACK)


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:16]}"
