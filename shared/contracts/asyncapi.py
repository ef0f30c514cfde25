"""The AsyncAPI 3 document of the events, generated from the catalogue. Served at ``/asyncapi.json``."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from shared.contracts import catalogue
from shared.contracts.envelope import EventData

ASYNCAPI = "3.0.0"
_SCHEMA = "#/components/schemas/{model}"


def document(consumes: Mapping[str, Sequence[str]], version: str, topic_prefix: str = "") -> dict[str, Any]:
    """Every topic that the named services publish or consume, and who does which.

    ``consumes``: each service's name and the topics it reads (from its card). ``version`` is the program's.
    ``topic_prefix`` stands before each topic's name on the broker.
    """
    touched = {topic for topic, service in catalogue.PUBLISHERS.items() if service in consumes}
    touched.update(topic for topics in consumes.values() for topic in topics)
    topics = [topic for topic in catalogue.TOPICS if topic in touched]
    models = [model for topic in topics for model in catalogue.TOPICS[topic]]
    schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_SCHEMA)[1]
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Tocsin events",
            "version": version,
            "description": "CloudEvents 1.0, Kafka protocol binding, binary content mode. The key is the case id, so"
            " the events of one case are in order within a topic. Changes within v1 are additive: ignore what you"
            " do not know.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, topic_prefix) for topic in topics},
        "operations": _operations(consumes),
        "components": {
            "messages": {model.TYPE: _message(model) for model in models},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
            "schemas": schemas.get("$defs", {}),
        },
    }


def _channel(topic: str, prefix: str) -> dict[str, Any]:
    return {
        "address": prefix + topic,
        "description": f"Published by {catalogue.PUBLISHERS[topic]} alone.",
        "messages": {m.TYPE: {"$ref": f"#/components/messages/{m.TYPE}"} for m in catalogue.TOPICS[topic]},
    }


def _operations(consumes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    found = {
        f"{service}.publishes.{topic}": _operation("send", topic, f"{service} tells what it decided.")
        for topic, service in catalogue.PUBLISHERS.items()
        if service in consumes
    }
    for service, topics in consumes.items():
        for topic in topics:
            found[f"{service}.consumes.{topic}"] = _operation("receive", topic, f"{service} follows these events.")
    return found


def _operation(action: str, topic: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{m.TYPE}"} for m in catalogue.TOPICS[topic]],
    }


def _message(model: type[EventData]) -> dict[str, Any]:
    return {
        "name": catalogue.ce_type(model),
        "title": model.TYPE,
        "summary": _summary(model),
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": _SCHEMA.format(model=model.__name__)},
        "bindings": {"kafka": {"key": {"type": "string", "format": "uuid", "description": "The case id."}}},
    }


def _summary(model: type[EventData]) -> str:
    """The first line of the class's own docstring, or the type in words."""
    own = vars(model).get("__doc__")
    return own.strip().splitlines()[0] if own else model.TYPE.replace(".", " ").replace("_", " ").capitalize() + "."


def _headers() -> dict[str, Any]:
    """The headers that ``catalogue.encode`` writes."""
    text = {"type": "string"}
    return {
        "type": "object",
        "required": [
            "ce_specversion",
            "ce_id",
            "ce_source",
            "ce_type",
            "ce_time",
            "ce_subject",
            "ce_partitionkey",
            "ce_sequence",
            "ce_recordedtime",
            "content-type",
        ],
        "properties": {
            "ce_specversion": {**text, "const": "1.0"},
            "ce_id": {**text, "format": "uuid", "description": "The same again means the same event: deduplicate."},
            "ce_source": {**text, "description": "The service that publishes."},
            "ce_type": {**text, "description": "dev.tocsin.<type>.v1"},
            "ce_time": {**text, "format": "date-time", "description": "When it happened in the world."},
            "ce_subject": {**text, "format": "uuid", "description": "The case id."},
            "ce_partitionkey": {**text, "format": "uuid", "description": "The case id, which is also the key."},
            "ce_sequence": {
                **text,
                "pattern": "^[0-9]{20}$",
                "description": "Counts what this service published about this case, from 1.",
            },
            "ce_recordedtime": {**text, "format": "date-time", "description": "When the publisher committed it."},
            "content-type": {**text, "const": "application/json"},
            "traceparent": {**text, "description": "W3C Trace Context."},
        },
    }
