"""The layout on disk: ``calendars/dublin.yaml``, one ``ruleset.yaml``, and what the server had at the last pull.

Secrets are never in these files. ``<kept on the server>`` stands for one that the server has, ``<env NAME>`` for one
that a push takes from the environment when the server has none yet, or when it is asked to write secrets again.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.config_files.documents import Document, Unreadable, read
from services.config_files.kinds import JSON, RULES, Key, canonical, kinds
from shared.sealing import FIELDS as SECRET_FIELDS

LOCK = ".tocsin.lock"
KEPT = "<kept on the server>"
_ENVIRONMENT = re.compile(r"<env ([A-Za-z_][A-Za-z0-9_]*)>")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file; ``error``: it cannot be pushed so."""

    file: str
    line: int
    text: str
    error: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Folder:
    """All documents of a folder, and what is wrong with its files themselves."""

    root: Path
    documents: Mapping[Key, Document]
    findings: tuple[Finding, ...]

    def bodies(self) -> dict[Key, JSON]:
        """Canonical, to compare with the server's."""
        return {key: canonical(key, document.body) for key, document in self.documents.items()}


@dataclass(frozen=True, slots=True)
class Known:
    """A document as the server had it."""

    version: int
    body: JSON


@dataclass(slots=True)
class Lock:
    """What one server had when this folder was pulled from it or pushed to it last; empty where it never was."""

    server: str
    known: dict[Key, Known] = field(default_factory=dict)


def load(root: Path) -> Folder:
    documents: dict[Key, Document] = {}
    findings: list[Finding] = []
    if not root.is_dir():
        return Folder(root, {}, (Finding(str(root), 1, "there is no such folder. Make one with `tocsin pull`."),))
    for path in sorted(root.rglob("*.y*ml")):
        parts = path.relative_to(root).parts
        if path.suffix not in (".yaml", ".yml") or any(part.startswith(".") for part in parts):
            continue
        name = "/".join(parts)
        key = _key(parts)
        if isinstance(key, str):
            findings.append(Finding(name, 1, key))
            continue
        if key in documents:
            findings.append(Finding(name, 1, f"there are two files of {key}. Keep one."))
            continue
        try:
            documents[key] = read(path.read_text(encoding="utf-8"))
        except Unreadable as wrong:
            findings.append(Finding(name, wrong.line, str(wrong)))
        except (OSError, UnicodeDecodeError) as wrong:
            findings.append(Finding(name, 1, f"cannot be read: {wrong}"))
    return Folder(root, documents, tuple(findings))


def _key(parts: tuple[str, ...]) -> Key | str:
    """Which document a file is, or what is wrong with where it is."""
    stem = parts[-1].rsplit(".", 1)[0]
    if len(parts) == 1:
        return RULES if stem == RULES.folder else f"only {RULES.file} stands here. Known folders: {', '.join(kinds())}."
    if len(parts) != 2 or parts[0] not in kinds():
        return f"{'/'.join(parts[:-1])} is no folder of ours. Known: {', '.join(kinds())}."
    if not _NAME.fullmatch(stem):
        return (
            f"{stem!r} is no name: write lower case letters, digits, dots, dashes. The file's name is the resource's."
        )
    return Key(parts[0], stem)


def load_lock(root: Path, server: str) -> Lock:
    found = _locks(root).get(server, {})
    return Lock(server, {Key(*text.split("/", 1)): Known(**each) for text, each in found.items()})


def save_lock(root: Path, lock: Lock) -> None:
    """Beside those of other servers."""
    locks = _locks(root)
    locks[lock.server] = {
        str(key): {"version": each.version, "body": each.body} for key, each in sorted(lock.known.items())
    }
    (root / LOCK).write_text(json.dumps(locks, indent=1, ensure_ascii=False) + "\n")


def _locks(root: Path) -> dict[str, Any]:
    try:
        found = json.loads((root / LOCK).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def placeholders(body: Mapping[str, Any]) -> dict[str, Any]:
    """The secret fields of a document as its file has them."""
    return {name: value for name, value in body.items() if name in SECRET_FIELDS}


def taken(value: Any, environment: Mapping[str, str]) -> Any:
    """The secret that a placeholder means; None for one that the server keeps. Raises ``ValueError``."""
    if isinstance(value, list):
        each = [taken(item, environment) for item in value]
        return None if any(item is None for item in each) else each
    if value == KEPT:
        return None
    found = _ENVIRONMENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"a secret stands in a file. Write {KEPT}, or <env NAME> and set NAME where you push.")
    if not environment.get(found[1]):
        raise ValueError(f"{found[1]} is not set. Set it to the secret, and push again.")
    return environment[found[1]]


def names_secret(value: Any) -> bool:
    """Whether this is one of our placeholders, and no secret itself."""
    if isinstance(value, list):
        return all(map(names_secret, value))
    return isinstance(value, str) and (value == KEPT or _ENVIRONMENT.fullmatch(value) is not None)
