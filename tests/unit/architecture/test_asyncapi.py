"""The AsyncAPI document is valid, complete, and true of what goes over the wire."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from shared.contracts import asyncapi, catalogue
from tests.unit.architecture.recorded import EVENTS

STANDARD = Path(__file__).parents[2] / "data" / "standards" / "asyncapi-3.0.0.json"
WHOLE = asyncapi.document(catalogue.CONSUMES, "1.2.3")


def resolve(reference: str) -> Any:
    found: Any = WHOLE
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def against_standard(document: dict[str, Any]) -> None:
    Draft7Validator(json.loads(STANDARD.read_text())).validate(document)


def test_the_document_is_valid_asyncapi_3() -> None:
    against_standard(WHOLE)


def test_the_standard_would_refuse_a_wrong_document() -> None:
    with pytest.raises(ValidationError):
        against_standard({**WHOLE, "operations": {"intake.publishes.contacts": {"action": "shout"}}})


def test_every_reference_leads_somewhere() -> None:
    for reference in references(WHOLE):
        assert isinstance(resolve(reference), dict), reference


def test_every_event_of_the_catalogue_is_a_message_of_its_topic() -> None:
    for topic, models in catalogue.TOPICS.items():
        messages = [resolve(message["$ref"]) for message in WHOLE["channels"][topic]["messages"].values()]
        assert [message["name"] for message in messages] == [catalogue.ce_type(model) for model in models]


def test_each_topic_has_its_one_publisher_and_all_its_consumers() -> None:
    for topic, publisher in catalogue.PUBLISHERS.items():
        doing = {
            (name.split(".")[0], operation["action"])
            for name, operation in WHOLE["operations"].items()
            if operation["channel"]["$ref"] == f"#/channels/{topic}"
        }
        assert doing == {(publisher, "send")} | {
            (name, "receive") for name, reads in catalogue.CONSUMES.items() if topic in reads
        }


def test_a_service_alone_shows_only_what_it_touches() -> None:
    alone = asyncapi.document({"intake": ()}, "1.2.3", topic_prefix="eu.")
    assert {name: channel["address"] for name, channel in alone["channels"].items()} == {"contacts": "eu.contacts"}
    assert list(alone["operations"]) == ["intake.publishes.contacts"]


@pytest.mark.parametrize("file", sorted(EVENTS.glob("*.json")), ids=lambda file: file.stem)
def test_a_recorded_event_fits_what_the_document_says(file: Path) -> None:
    recorded = json.loads(file.read_text())
    message = WHOLE["components"]["messages"][file.stem]
    for part, schema in (("headers", resolve(message["traits"][0]["$ref"])["headers"]), ("body", message["payload"])):
        checker = Draft7Validator({**schema, "components": WHOLE["components"]}, format_checker=FormatChecker())
        assert [error.message for error in checker.iter_errors(recorded[part])] == []
