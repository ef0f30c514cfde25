"""A push takes its steps in an order that works, and knows afterwards what the server has."""

import json
from itertools import permutations
from pathlib import Path

import httpx
import pytest

from services.config_files.folder import Known, Lock, load, load_lock
from services.config_files.kinds import RULES, Key, canonical
from services.config_files.plan import plan
from services.config_files.pushing import Push
from services.config_files.server import Server, State

URL = "http://tocsin"
TARGETS = [{"metric": "first_reply", "within": "PT4H"}]


class Policies(httpx.MockTransport):
    """Policies as sla keeps them: a version each, and one at a position."""

    def __init__(self, positions: dict[str, int]) -> None:
        super().__init__(self._answer)
        self.kept = {name: (1, self.body(position)) for name, position in positions.items()}

    @staticmethod
    def body(position: int) -> dict[str, object]:
        return {"position": position, "when": "true", "targets": TARGETS}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        name, body = request.url.path.rsplit("/", 1)[-1], json.loads(request.content)
        version, _ = self.kept[name]
        if request.headers["if-match"] != f'"{version}"':
            return httpx.Response(412, json={"type": "/overtaken", "detail": f"{name} is at version {version}"})
        if any(other != name and kept["position"] == body["position"] for other, (_, kept) in self.kept.items()):
            return httpx.Response(409, json={"type": "/position-taken", "detail": "taken"})
        self.kept[name] = (version + 1, body)
        return httpx.Response(200, json={"name": name, "version": version + 1, **body})


@pytest.mark.parametrize("wanted", list(permutations((10, 20, 30))))
def test_policies_change_places_in_every_order(tmp_path: Path, wanted: tuple[int, int, int]) -> None:
    there = Policies({"a": 10, "b": 20, "c": 30})
    (tmp_path / "policies").mkdir()
    for name, position in zip("abc", wanted, strict=True):
        (tmp_path / "policies" / f"{name}.yaml").write_text(json.dumps(there.body(position)))
    files = load(tmp_path)
    known = {
        key: Known(version, canonical(key, body))
        for key, version, body in ((Key("policies", name), *kept) for name, kept in there.kept.items())
    }
    active = {RULES: Known(1, {"fallback": {"team": "frontline"}})}
    with Server(URL, "key", there) as server:
        done = Push(server, files, State(known | active), Lock(URL), {}).run(
            plan(files.bodies(), known | active, {}), lambda *_: None
        )
    assert done.failed is None
    assert tuple(body["position"] for _, body in there.kept.values()) == wanted
    after = load_lock(tmp_path, URL)
    assert {key.name: kept.body["position"] for key, kept in after.known.items() if key.name} == dict(
        zip("abc", wanted, strict=True)
    )
    assert RULES in after.known, "what is only on the server is known too"
