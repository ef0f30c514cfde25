"""How the report of a backtest looks in a terminal."""

import io
from datetime import timedelta
from uuid import UUID

from rich.console import Console

from services.config_files import backtesting
from services.routing.lab.backtest import Comparison, Past
from services.routing.rules.facts import values
from tests.unit.routing.conftest import NOON
from tests.unit.routing.test_rules import TIER, facts, ruleset


def shown(past: list[Past]) -> list[str]:
    comparison = Comparison(ruleset(version=1), ruleset((TIER, "payments"), version=2))
    for each in past:
        comparison.add(each)
    written = io.StringIO()
    report = comparison.report().model_dump(mode="json") | {"against": 1, "complete": True}
    backtesting.show(Console(file=written, width=80), report)
    return written.getvalue().splitlines()


def test_the_load_of_every_team_that_changes_is_drawn_hour_by_hour_in_a_terminal_of_80_columns() -> None:
    vip = {"customer": {"tier": "enterprise"}}
    past = [Past(UUID(int=n), {**values(facts(**(vip if n % 2 else {}))), "at": NOON - timedelta(hours=ago)})
            for n, ago in enumerate((0, 0, 0, 0, 1, 1, 3, 3))]  # fmt: skip
    lines = shown(past)
    assert all(len(line) <= 80 for line in lines)
    drawn = [line.split() for line in lines if set(line) & set("·▃▄▅█")]
    assert drawn == [
        ["frontline", "before", "8", "4", "▅·▅█"],
        ["after", "4", "2", "▃·▃▅"],
        ["payments", "before", "0", "0", "····"],
        ["after", "4", "2", "▅·▅█"],
    ]


def test_a_long_history_is_drawn_by_the_busiest_of_some_hours() -> None:
    lines = shown([Past(UUID(int=n), {**values(facts()), "at": NOON - timedelta(hours=n)}) for n in range(300)])
    assert not [line for line in lines if "Load" in line], "nothing changes"
    vips = values(facts(customer={"tier": "enterprise"}))
    lines = shown([Past(UUID(int=n), {**vips, "at": NOON - timedelta(hours=n)}) for n in range(300)])
    assert all(len(line) <= 80 for line in lines)
    [said] = [line for line in lines if "Load" in line]
    assert said.endswith("a mark: busiest of 9 hours")
