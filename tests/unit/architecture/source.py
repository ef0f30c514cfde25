"""Reads our own source as text, for the tests of its structure: nothing is imported or run."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
SERVICES = ("intake", "routing", "sla", "notify")


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file of ours. ``name`` is dotted; a package's is without ``__init__``."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


@lru_cache
def modules() -> dict[str, Module]:
    """Every module of services and shared, but for generated migrations."""
    found = {}
    for top in ("services", "shared"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "versions" in parts:
                continue
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text()
            found[name] = Module(name, path, ast.parse(text), len(text.splitlines()))
    return found


def imports(module: Module) -> Iterator[str]:
    """What a module imports, dotted: ``from shared import db`` gives ``shared.db``."""
    known = modules()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in inner)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
