"""The skeleton: every service has the same rooms, the pure ones stay pure, and nothing grows too large."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator

import pytest

from shared.contracts.catalogue import CONSUMES, PUBLISHERS
from tests.unit.architecture.source import ROOT, SERVICES, Module, functions, imports, modules

ROOMS = ("__init__", "__main__", "api", "app", "decide", "model", "store")
MAX_FILE = 350
MAX_FUNCTION = 75
NOWHERE = {"utils", "util", "helpers", "helper", "common", "misc", "lib", "base", "core"}

PURE = {
    "intake": ("model", "decide", "channels", "threads", "redact", "language", "customers"),
    "routing": ("model", "decide", "rules"),
    "sla": ("model", "decide", "calendar"),
    "notify": ("model", "decide", "oncall", "stages"),
}
PURE_LIBRARIES = {
    "pydantic",
    "cel_expr_python",
    "email_validator",
    "filetype",
    "holidays",
    "phonenumbers",
    "pycld2",
    "re2",
    "standardwebhooks",  # to sign; its verify looks at the clock, and is not used
    "stdnum",
    "tzdata",
}
PURE_OF_OURS = ("shared.contracts", "shared.conditions")
IMPURE_STANDARD = {
    *("asyncio", "concurrent", "contextvars", "ctypes", "fcntl", "ftplib", "http", "imaplib", "logging"),
    *("multiprocessing", "os", "pathlib", "pickle", "poplib", "queue", "random", "sched", "secrets", "select"),
    *("selectors", "shelve", "shutil", "signal", "smtplib", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
    *("tempfile", "threading", "time", "urllib.request", "uuid.uuid1", "uuid.uuid4", "weakref", "webbrowser"),
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service: str) -> None:
    here = ROOT / "services" / service
    assert [room for room in ROOMS if not (here / f"{room}.py").is_file() and not (here / room).is_dir()] == []
    assert list((here / "migrations" / "versions").glob("*.py")), "no migration"


@pytest.mark.parametrize("service", SERVICES)
def test_the_card_in_the_init_agrees_with_the_catalogue(service: str) -> None:
    card = importlib.import_module(f"services.{service}").CARD
    assert card.name == service
    assert PUBLISHERS[card.publishes] == service
    assert set(card.consumes) == set(CONSUMES[service])
    assert card.publishes not in card.consumes


def reached_by_pure_rooms() -> dict[str, str]:
    """Modules of ours that a pure room imports, itself included, each with the room that leads there."""
    known = modules()
    rooms = [f"services.{service}.{room}" for service, names in PURE.items() for room in names]
    open_ = [(m, m) for m in known if any(m == room or m.startswith(f"{room}.") for room in rooms)]
    open_ += [(name, name) for name in known if name.startswith(PURE_OF_OURS)]
    found: dict[str, str] = {}
    while open_:
        name, why = open_.pop()
        if name not in found and name in known:
            found[name] = why
            open_ += [(imported, name) for imported in imports(known[name])]
    return found


def impurities(module: Module) -> list[str]:
    found = []
    for name in imports(module):
        top = name.split(".")[0]
        if top == "services":
            allowed = name.split(".")[1:2] == module.name.split(".")[1:2] and module.name.startswith("services.")
        elif top == "shared":
            allowed = name.startswith(PURE_OF_OURS)
        elif top in sys.stdlib_module_names:
            allowed = top not in IMPURE_STANDARD and name not in IMPURE_STANDARD
        else:
            allowed = top in PURE_LIBRARIES
        found += [] if allowed else [f"imports {name}"]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(f"calls {node.func.id} in line {node.lineno}")
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global):
            found.append(f"{type(node).__name__} in line {node.lineno}")
    return found


@pytest.mark.parametrize("name", sorted(reached_by_pure_rooms()))
def test_what_pure_rooms_reach_is_pure(name: str) -> None:
    assert impurities(modules()[name]) == [], f"{name} is reached by {reached_by_pure_rooms()[name]}"


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "from time import monotonic",
        "import sqlalchemy",
        "from shared import db",
        "from shared.clock import Clock",
        "from services.notify import model",
        "from urllib.request import urlopen",
        "async def f(): ...",
        "def f(): return open('x')",
    ],
)
def test_an_impure_line_is_found(source: str) -> None:
    tree = ast.parse(source)
    assert impurities(Module("services.sla.decide", ROOT / "planted.py", tree, 1)) != []


def texts(module: Module) -> Iterator[tuple[int, str]]:
    """Every string of a module, docstrings included."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


STATEMENT = re.compile(r"\b(SELECT\s.+\sFROM|INSERT INTO|UPDATE\s.+\sSET|DELETE FROM)\s", re.DOTALL)
DATABASE_TIME = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp)\(\)|\bCURRENT_(TIME|DATE)"
)
SAMPLES_TIME = {"shared.service", "shared.process"}  # what makes `now`, and hands it on


def test_a_service_writes_sql_in_its_store_alone() -> None:
    found = [
        f"{module}:{line}"
        for module in modules().values()
        if module.name.startswith("services.") and module.name.split(".")[2:3] != ["store"]
        for line, text in texts(module)
        if STATEMENT.search(text)
    ]
    assert found == []


def test_sql_sees_time_only_as_a_parameter() -> None:
    found = [
        f"{module}:{line}"
        for module in modules().values()
        if module.name not in SAMPLES_TIME
        for line, text in texts(module)
        if ("SELECT" in text or "UPDATE" in text or "WHERE" in text or "INSERT" in text) and DATABASE_TIME.search(text)
    ]
    assert found == []


def test_decide_is_called_with_state_input_and_now() -> None:
    for service in SERVICES:
        decide = next(f for f in functions(modules()[f"services.{service}.decide"]) if f.name == "decide")
        assert isinstance(decide, ast.FunctionDef), f"{service}: decide is synchronous"
        assert len(decide.args.args) == 3, f"{service}: decide(state, input, now)"
        assert decide.args.args[2].arg == "now"


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("module", modules().values(), ids=str)
def test_a_file_and_its_functions_fit_in_the_head(module: Module) -> None:
    assert module.lines <= MAX_FILE, f"{module} has {module.lines} lines: split it by what it is about"
    for function in functions(module):
        inner = sum(span(each) for each in function.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
        own = span(function) - inner
        assert own <= MAX_FUNCTION, f"{module}: {function.name} has {own} lines of its own"


def test_every_module_is_named_after_what_it_is_about() -> None:
    assert [str(m) for m in modules().values() if NOWHERE & set(m.name.split("."))] == []


@pytest.mark.parametrize("module", modules().values(), ids=str)
def test_every_module_says_what_it_is_for(module: Module) -> None:
    assert ast.get_docstring(module.tree) or not module.tree.body, f"{module} has no docstring"
