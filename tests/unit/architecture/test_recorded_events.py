"""Old events stay readable: today's models are held against events and schemas that were recorded before."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from shared.contracts import catalogue
from tests.unit.architecture.recorded import EVENTS, SCHEMAS, differences, today

RECORDED = sorted(EVENTS.glob("*.json"))
TYPES = {model.TYPE for models in catalogue.TOPICS.values() for model in models}


def load(file: Path) -> tuple[str, catalogue.Headers, dict[str, Any]]:
    found = json.loads(file.read_text())
    return found["topic"], [(name, value.encode()) for name, value in found["headers"].items()], found["body"]


def test_every_event_type_has_a_recorded_example() -> None:
    missing = TYPES - {file.stem for file in RECORDED}
    assert not missing, f"write {EVENTS}/<type>.json, like its neighbours, for: {sorted(missing)}"


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_a_recorded_event_is_read_and_written_again_without_loss(file: Path) -> None:
    topic, headers, body = load(file)
    event = catalogue.decode(topic, headers, json.dumps(body).encode())
    assert file.stem == event.data.TYPE
    assert type(event.data) in catalogue.TOPICS[topic]
    written_headers, written = catalogue.encode(event)
    assert {**dict(written_headers), **dict(headers)} == dict(written_headers)
    again = json.loads(written)
    assert {**again, **body} == again, "a recorded field is lost or changed"


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_an_unknown_field_of_a_newer_producer_is_passed_over(file: Path) -> None:
    topic, headers, body = load(file)
    newer = catalogue.decode(topic, headers, json.dumps({**body, "added_later": {"x": 1}}).encode())
    assert newer == catalogue.decode(topic, headers, json.dumps(body).encode())


def test_since_they_were_recorded_the_schemas_only_gained() -> None:
    assert differences(json.loads(SCHEMAS.read_text()), today()) == []


def test_what_was_added_is_recorded_too() -> None:
    assert json.loads(SCHEMAS.read_text()) == today(), "the events changed: run `make record`, and commit what it wrote"


def _drop(schema: dict[str, Any]) -> None:
    del schema["CaseSummary"]["properties"]["subject"]


def _retype(schema: dict[str, Any]) -> None:
    schema["ClockBreached"]["properties"]["instance"]["type"] = "string"


def _make_nullable(schema: dict[str, Any]) -> None:
    schema["CaseAssigned"]["properties"]["team"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _require(schema: dict[str, Any]) -> None:
    schema["PageSent"]["properties"]["new"] = {"type": "string"}
    schema["PageSent"]["required"].append("new")


def _make_optional(schema: dict[str, Any]) -> None:
    schema["PageSent"]["required"].remove("target")


def _forget_a_word(schema: dict[str, Any]) -> None:
    schema["Priority"]["enum"].remove("low")


def _drop_a_type(schema: dict[str, Any]) -> None:
    del schema["PageExhausted"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_drop, "CaseSummary.subject"),
        (_retype, "ClockBreached.instance"),
        (_make_nullable, "CaseAssigned.team"),
        (_require, "PageSent.new"),
        (_make_optional, "PageSent.target"),
        (_forget_a_word, "Priority"),
        (_drop_a_type, "PageExhausted"),
    ],
)
def test_a_change_that_is_no_addition_is_found_and_named(change: Any, named: str) -> None:
    changed = copy.deepcopy(today())
    change(changed)
    found = differences(today(), changed)
    assert found
    assert all(line.startswith(named) for line in found)


def test_an_optional_field_a_new_word_and_a_new_text_are_additions() -> None:
    changed = copy.deepcopy(today())
    changed["PageSent"]["properties"]["new"] = {"type": "string", "default": ""}
    changed["Metric"]["enum"].append("first_touch")
    changed["PageSent"]["description"] = "Other words."
    assert differences(today(), changed) == []
