"""What the watcher must know after a restart, in one small file: its secret, its standing, and what is to be closed."""

import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from services.watch.judgement import Standing

MAX_LEFT = 100  # cases that are still to be closed; the oldest are forgotten beyond


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of ours. ``name`` is its external id; the same name posted again is the same contact."""

    name: str
    posted_at: datetime
    case_id: str | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    secret: str
    destination: str | None = None  # the address that our destination was written with, by this secret
    standing: Standing = field(default_factory=Standing)
    left: tuple[Contact, ...] = ()

    def leave(self, contact: Contact) -> "Memory":
        """To be closed, once that works; replaces what was known of it."""
        others = [each for each in self.left if each.name != contact.name]
        return replace(self, left=tuple([*others, contact][-MAX_LEFT:]))

    def closed(self, contact: Contact) -> "Memory":
        return replace(self, left=tuple(each for each in self.left if each.name != contact.name))


def load(path: Path) -> Memory | None:
    """None where there is nothing, or nothing that can be read: the watcher then begins anew."""
    try:
        found = json.loads(path.read_text())
        return Memory(
            found["secret"],
            found["destination"],
            Standing(**_times(found["standing"])),
            tuple(Contact(**_times(each)) for each in found["left"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, memory: Memory) -> None:
    """Whole or not at all; readable by us alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(memory), file, default=lambda time: time.isoformat())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _times(values: dict[str, Any]) -> dict[str, Any]:
    """Those fields that are instants, as such."""
    instants = {name for name in values if name.endswith("_at") or name == "since"}
    return {
        name: datetime.fromisoformat(value) if value and name in instants else value for name, value in values.items()
    }
