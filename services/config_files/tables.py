"""How it looks in a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from services.config_files.checks import Report
from services.config_files.documents import one_line
from services.config_files.plan import MISSING, Change, Plan, Step, What
from services.config_files.pulling import Pulled, Result

LONGEST = 240  # characters of a value; `--format json` has all of it
MARKS = {
    What.CREATE: ("+", "green"), What.CHANGE: ("~", "yellow"), What.DELETE: ("-", "red"),
    What.STAYS: (" ", "dim"), What.KEPT: (" ", "dim"),
}  # fmt: skip
INDENT, NAMES = 4, 30  # columns before a field, and of its name
COLOURS = {"-": "red", "+": "green"}
BARS = "▁▂▃▄▅▆▇█"


def said(value: Any) -> str:
    """A value in one cell, as it stands in a file."""
    if value is MISSING:
        return ""
    text = value if isinstance(value, str) else one_line(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def sparkline(values: Sequence[float]) -> str:
    """A mark for each value, a dot for none."""
    highest = max(values, default=0)
    return "".join(BARS[round(value / highest * (len(BARS) - 1))] if value else "·" for value in values)


def show_plan(out: Console, plan: Plan) -> None:
    """A heading for each resource that changes, its fields below; what only the server has, in a line at the end."""
    for step in plan.acting:
        out.print(f"[bold]{marked(step)}[/]{' [dim]deleted[/]' if step.what is What.DELETE else ''}")
        if step.what is not What.DELETE:
            _show_fields(out, step.changes)
    for step in plan.conflicts:
        _show_conflict(out, step)
    for note, steps in _by_note(plan).items():
        out.print(f"[dim]{escape(note)}: {escape(', '.join(str(step.key) for step in steps))}[/]", highlight=False)
    out.print(summary(plan))


def _show_fields(out: Console, changes: Sequence[Change]) -> None:
    """A line for each field; what does not fit stands below its name, the old above the new."""
    column = min(NAMES, max((len(each.path) for each in changes), default=0))
    for each in changes:
        sides = [(mark, said(value)) for mark, value in (("-", each.before), ("+", each.after)) if value is not MISSING]
        line = f"{each.path:<{column}}  {'  →  '.join(text for _, text in sides)}"
        if len(line) + INDENT <= out.width:
            words = "  →  ".join(f"[{COLOURS[mark]}]{escape(text)}[/]" for mark, text in sides)
            out.print(f"{' ' * INDENT}{escape(f'{each.path:<{column}}')}  {words}", highlight=False)
            continue
        out.print(f"{' ' * INDENT}{escape(each.path)}", highlight=False)
        for mark, text in sides:
            told = Text(f"{mark} " if len(sides) == 2 else "") + Text(text, style=COLOURS[mark])
            out.print(Padding(told, (0, 0, 0, INDENT + 4), expand=False))


def _by_note(plan: Plan) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for step in plan.steps:
        if not step.acts and step.note:
            found.setdefault(step.note[:1].upper() + step.note[1:], []).append(step)
    return found


def marked(step: Step) -> str:
    mark, colour = MARKS[step.what]
    return f"[{colour}]{mark} {escape(str(step.key))}[/]"


def summary(plan: Plan) -> str:
    if not plan.acting:
        return "No changes: the server has what the files say."
    counts = ((what, sum(step.what is what for step in plan.steps)) for what in MARKS)
    words = [
        f"{count} to {what}" for what, count in counts if count and what in (What.CREATE, What.CHANGE, What.DELETE)
    ]
    return ", ".join(words) + (f"; {len(plan.conflicts)} refused" if plan.conflicts else "") + "."


def _show_conflict(out: Console, step: Step) -> None:
    conflict = step.conflict
    if conflict is None:
        return
    out.print(f"[red bold]{escape(str(step.key))} {conflict.text}[/]")
    for who, changes in (("Somebody, on the server:", conflict.theirs), ("You, in the files:", conflict.ours)):
        out.print(f"  {who}")
        _show_fields(out, changes)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    def fields(changes: Iterable[Change]) -> list[dict[str, Any]]:
        return [
            {"path": each.path}
            | ({} if each.before is MISSING else {"before": each.before})
            | ({} if each.after is MISSING else {"after": each.after})
            for each in changes
        ]

    return {
        "changes": [
            {"resource": str(step.key), "what": step.what, "version": step.version, "fields": fields(step.changes)}
            | ({"note": step.note} if step.note else {})
            | (
                {
                    "refused": step.conflict.text,
                    "theirs": fields(step.conflict.theirs),
                    "ours": fields(step.conflict.ours),
                }
                if step.conflict
                else {}
            )
            for step in plan.steps
        ]
    }


def show_report(out: Console, report: Report, documents: int) -> None:
    for each in report.findings:
        colour, word = ("red", "error") if each.error else ("yellow", "warning")
        out.print(f"[{colour}]{word}[/] {escape(str(each))}", soft_wrap=True, highlight=False)
    for test in report.tests:
        out.print(f"{'[red]✗[/]' if test.wrong else '[green]✓[/]'} {escape(test.name)}", highlight=False)
        if test.wrong:
            out.print(Padding(Text(f"ruleset.yaml:{test.line}: {test.wrong}"), (0, 0, 0, INDENT), expand=False))
    failed = sum(bool(test.wrong) for test in report.tests)
    warnings = len(report.findings) - len(report.errors)
    out.print(
        f"{documents} documents, {len(report.errors)} errors, {warnings} warnings;"
        f" {len(report.tests) - failed} of {len(report.tests)} tests hold."
    )


def show_pulled(out: Console, results: Sequence[Result]) -> None:
    table = table_of("", "file", "")
    for each in results:
        colour = {Pulled.WRITTEN: "green", Pulled.CONFLICT: "red", Pulled.PRUNED: "red"}.get(each.what, "yellow")
        table.add_row("", escape(each.key.file), f"[{colour}]{each.what}[/]")
    if table.row_count:
        out.print(table)
    else:
        out.print("No changes: the files have what the server says.")


def table_of(*names: str, numbers: Sequence[str] = ()) -> Table:
    """``numbers`` are the columns that stand at the right."""
    columns = (Column(name, overflow="fold", justify="right" if name in numbers else "left") for name in names)
    return Table(*columns, box=None, pad_edge=False, header_style="dim")


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
