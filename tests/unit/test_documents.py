"""Every document that people or machines post: what is written as a number has to be one."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from pydantic import ValidationError

from services.intake.model.posted import Volumes
from services.notify.model.specs import LimitSpec
from services.routing.spec import RulesetSpec
from shared.contracts.spec import Part

SERVICES = ("intake", "routing", "sla", "notify")


def documents(kind: type[Part] = Part) -> Iterator[type[Part]]:
    for each in kind.__subclasses__():
        yield each
        yield from documents(each)


def lax(schema: Any) -> bool:
    """Whether a number somewhere in it would be read from ``true`` or from a text."""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float"):
            return not schema.get("strict")
        if "int" in schema.get("choices", ()):  # any JSON: each value is what it is
            return False
        return any(lax(each) for key, each in schema.items() if key not in ("metadata", "ref", "serialization"))
    return isinstance(schema, list | tuple) and any(lax(each) for each in schema)


def test_no_document_takes_true_for_one() -> None:
    for name in SERVICES:
        import_module(f"services.{name}.app")
    found = {each for each in documents() if each.__module__.startswith(("services.", "shared."))}
    assert len(found) > 50
    assert not [f"{each.__module__}.{each.__name__}" for each in found if lax(each.__pydantic_core_schema__)]


GIVEN = {"name": "t", "given": {"channel": "api", "customer": {"contacts_7d": False}}, "expect": {"team": "a"}}


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        (Volumes, {"active_customers": True}),
        (Volumes, {"transactions": "1"}),
        (LimitSpec, {"per_second": True}),
        (LimitSpec, {"per_second": 1, "burst": 1.5}),
        (RulesetSpec, {"fallback": {"team": "a"}, "tests": [GIVEN]}),
    ],
)
def test_what_is_no_number_is_refused(document: type[Part], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"valid (integer|number)"):
        document.model_validate(fields)
