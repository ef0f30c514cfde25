"""The events' schemas as they were last recorded, and what may change: only additions.

``make record`` writes today's schemas down, and refuses where something other than an addition changed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from shared.contracts.catalogue import TOPICS

EVENTS = Path(__file__).parents[2] / "data" / "events"
SCHEMAS = EVENTS.with_name("event-schemas.json")

WORDS_ABOUT = {"title", "description", "default"}  # what a schema says about itself; free to change


def today() -> dict[str, Any]:
    """Every event model, and what it consists of, by name: as a consumer must read it."""
    models = [model for topic in TOPICS.values() for model in topic]
    found: dict[str, Any] = models_json_schema([(model, "validation") for model in models])[1]["$defs"]
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What changed between two sets of schemas that is not an addition."""
    found = [f"{name} is gone" for name in old if name not in new]
    for name in old.keys() & new.keys():
        found += _between(old[name], new[name], name)
    return sorted(found)


def _between(old: Any, new: Any, where: str) -> Iterator[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield f"{where}: was {json.dumps(old)}, is {json.dumps(new)}"
        return
    handled = WORDS_ABOUT | {"properties", "required", "enum"}
    for name, property_ in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _between(property_, new["properties"][name], f"{where}.{name}")
        else:
            yield f"{where}.{name} is gone: an older consumer relies on it"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{where}.{name} is required now: an older event does not have it; give it a default"
    for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        yield f"{where}.{name} may be absent now: an older consumer requires it"
    for word in old.get("enum", ()):
        if word not in new.get("enum", ()):
            yield f"{where}: the word {word!r} is gone"
    for key in sorted((old.keys() | new.keys()) - handled):
        yield from _between(old.get(key), new.get(key), f"{where} ({key})")


def main() -> int:
    new = today()
    broken = differences(json.loads(SCHEMAS.read_text()), new) if SCHEMAS.exists() else []
    if broken:
        print("Not an addition, so it needs a new version of the event (.v2) beside the old one:", *broken, sep="\n  ")
        return 1
    SCHEMAS.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n")
    print(f"recorded {len(new)} schemas in {SCHEMAS.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
