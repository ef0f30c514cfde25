"""The gateway's route table, made from the OpenAPI documents of the four services: ``python -m deploy.routes``.

``--check`` writes nothing and says whether ``deploy/gateway/routes.map`` is what the services have today.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, cast

from services.embedded import MEMBERS
from shared.auth import Keys
from shared.clock import SystemClock
from shared.db import Database
from shared.http import create_app
from shared.ids import Ids
from shared.log import Log
from shared.process import Member
from shared.runtime import Runtime
from shared.settings import Settings

TABLE = Path(__file__).parent / "gateway" / "routes.map"
HEAD = "# Which service answers a path. Made by `python -m deploy.routes` from the services' OpenAPI documents.\n"

_PARAMETER = re.compile(r"\{[^}]+\}")


class RouteError(ValueError):
    """The services' paths cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path of one service, such as ``/v1/cases/{case_id}/clocks``."""

    path: str
    service: str

    @property
    def exact(self) -> bool:
        return "{" not in self.path

    @property
    def pattern(self) -> str:
        """As a key of nginx' ``map``: the path itself, or a regular expression where it has parameters."""
        if self.exact:
            return self.path
        literals = [literal.replace(".", "[.]") for literal in _PARAMETER.split(self.path)]
        return f"~^{'[^/]+'.join(literals)}$"

    def overlaps(self, other: "Route") -> bool:
        """Whether some path is one of both, as far as segments tell: a parameter takes any segment."""
        mine, theirs = self.path.split("/"), other.path.split("/")
        return len(mine) == len(theirs) and all(
            a == b or "{" in a or "{" in b for a, b in zip(mine, theirs, strict=True)
        )


def documents(members: Sequence[Member] = MEMBERS) -> dict[str, dict[str, Any]]:
    """The OpenAPI document of each service's own routes, by its name. Nothing is connected to."""
    clock = SystemClock()
    found = {}
    for member in members:
        service = member.service()
        db = Database("postgresql+asyncpg://nowhere/none", service.card.name)
        runtime = Runtime(Settings(), service, db, clock, Ids(clock), cast(Log, None))
        keys = Keys(db, clock, Ids(clock))
        app = create_app(service.card.name, [member.assemble(runtime).router], keys, 1)
        found[service.card.name] = app.openapi()
    return found


def routes(found: Mapping[str, Mapping[str, Any]]) -> list[Route]:
    """All routes, exact ones first. Raises ``RouteError`` where a path could be of two services."""
    made = sorted(
        (Route(path, service) for service, document in found.items() for path in document["paths"]),
        key=lambda route: (not route.exact, route.path, route.service),
    )
    for one, other in combinations(made, 2):
        if one.service != other.service and one.exact == other.exact and one.overlaps(other):
            raise RouteError(f"{one.path} of {one.service} and {other.path} of {other.service} can be the same path")
    return made


def table(made: Iterable[Route]) -> str:
    """The text of ``routes.map``."""
    return HEAD + "".join(f'"{route.pattern}" {route.service};\n' for route in made)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the table is not up to date")
    wanted = table(routes(documents()))
    if not parser.parse_args(arguments).check:
        TABLE.write_text(wanted)
        print(f"wrote {wanted.count(chr(10)) - 1} routes to {TABLE.relative_to(Path.cwd())}")
        return 0
    if TABLE.exists() and TABLE.read_text() == wanted:
        return 0
    print("deploy/gateway/routes.map is not what the services have; run `python -m deploy.routes`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
