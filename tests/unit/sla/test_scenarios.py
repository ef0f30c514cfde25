"""Scenarios worked by hand, from the table in tests/data/scenarios.md."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from services.sla.model import Clock, Configuration
from tests.unit.sla.stories import DUBLIN, MINUTE, START, Desk, Story, configured, m, policy, target

TABLE = Path(__file__).parents[2] / "data" / "scenarios.md"


def rows() -> list[list[str]]:
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("scenario", "---")]


def promised(text: str) -> Configuration:
    """``[urgent] first_reply PT1H / resolution PT4H office agent_work``: policies in order."""
    found = {}
    for place, each in enumerate(text.split(" / ")):
        when = "case.priority == 'urgent'" if each.startswith("[urgent]") else "true"
        metric, within, *words = each.removeprefix("[urgent]").split()
        more = {"calendar" if word == "office" else "counts": word for word in words}
        found[f"p{place}"] = policy(target(metric, within, **more), when=when, position=place)
    return configured(found, {"office": DUBLIN})


def tell(story: Story, at: float, known: float, words: list[str]) -> None:
    match words:
        case ["contact" | "auto" as kind]:
            story.contact(at, known, automated=kind == "auto")
        case ["reply" | "autoreply" as kind]:
            story.reply(at, known, automated=kind == "autoreply")
        case ["note"]:
            story.activity("note_added", at, known, actor="ana")
        case ["acknowledged"]:
            story.acknowledged(at, known)
        case ["merged"]:
            story.merged(at)
        case ["absorbed", since]:
            story.absorbed(at, since=float(since))
        case ["to", team]:
            story.handed_off(team, at, known)
        case ["urgent" | "low" as priority]:
            story.priority(priority, at, known)
        case [status]:
            story.status(status, at, known)


def played(of: Configuration, history: str) -> Desk:
    """Told as it becomes known, with every timer that comes due meanwhile."""
    story, desk, end = Story(), Desk(of), 0.0
    for each in history.split(";"):
        when, *words = each.split()
        at, _, known = when.partition("@")
        end = max(end, float(known or at))
        if words == ["now"]:
            continue
        tell(story, float(at), float(known or at), words)
        if len(story.events) == 1:
            story.assigned(at=float(at))
    for event in sorted(story.events, key=lambda event: event.recorded_at):
        desk.tick(event.recorded_at - MINUTE / 60)
        desk.play([event])
    desk.tick(m(end))
    return desk


def verdict(clock: Clock) -> str:
    def minute(at: datetime | None) -> str:
        return "-" if at is None else f"{(at - START) / MINUTE:g}"

    state: Any = clock.state.value
    if clock.ended:
        state = f"{'late' if clock.breached_at and clock.met_at and state == 'met' else state} {minute(clock.ended_at)}"
    return f"{clock.metric} {clock.instance} due {minute(clock.due_at)} {state.replace('breached', 'broken')}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_scenario(row: list[str]) -> None:
    _, promises, history, expected, _ = row
    desk = played(promised(promises), history)
    metric = promises.removeprefix("[urgent] ").split()[0]
    found = ", ".join(verdict(clock) for clock in desk.case.clocks if clock.metric == metric)
    assert (found or f"{metric} 1 none") == expected


def test_there_are_enough_and_each_source_has_its_address() -> None:
    cited = [row[4] for row in rows() if row[4]]
    assert len(rows()) >= 40
    assert len(cited) >= 15
    page = TABLE.read_text()
    assert all(f"- {source}: " in page for source in cited)
