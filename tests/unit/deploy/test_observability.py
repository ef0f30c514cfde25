"""Alerts and dashboard ask for metrics that the code has, by labels that those have."""

import json
import re
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from shared import telemetry
from tests.unit.deploy.files import DEPLOY, metrics_in, metrics_we_have

ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "tocsin.json").read_text())
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
MEASURED = (telemetry.FIRE_LAG, telemetry.CONSUMER_LAG, telemetry.OUTBOX_AGE, telemetry.PARKED,
            telemetry.EVENTS_HANDLED, telemetry.STEP_FAILURES, telemetry.DELIVERIES,
            telemetry.HTTP_DURATION, telemetry.PROBLEMS, telemetry.ON_CALL_GAP, telemetry.PAGES)  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_asked_for_is_measured(expression: str) -> None:
    assert metrics_in(expression)
    assert metrics_in(expression) <= metrics_we_have()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_asked_for_is_one_of_that_metric(expression: str) -> None:
    labels = {name: set(metric._labelnames) | {"le"} for metric in MEASURED for name in [metric._name]}
    known = set().union(*(found for name, found in labels.items() if name in expression.replace("_total", "")))
    grouped = [label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")]
    matched = re.findall(r"[{,]\s*(\w+)\s*=", expression)
    assert {*grouped, *matched} <= known


def test_what_a_person_must_know_of_has_an_alert() -> None:
    asked = " ".join(rule["expr"] for rule in ALERTS)
    for metric in (
        "parked_events",
        "outbox_age_seconds",
        "consumer_lag_events",
        "fire_lag_seconds",
        "deliveries_total",
        "on_call_gap_seconds",
        'pages{state="exhausted"}',
        "watch_last_success_timestamp_seconds",
    ):
        assert f"tocsin_{metric}" in asked
    assert 'service="routing", topic="contacts"' in asked  # cases that have no team


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "warn")
    assert len(rule["annotations"]["description"].split()) >= 8
    assert "{{" in rule["annotations"]["summary"]


def test_the_panels_do_not_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_metrics_are_registered_once() -> None:
    names = [metric.name for metric in REGISTRY.collect() if metric.name.startswith("tocsin_")]
    assert len(names) == len(set(names))
