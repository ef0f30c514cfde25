"""Take the steps of a plan, say exactly what was done and what was not; to be repeated as often as one likes."""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.config_files.folder import Finding, Folder, Known, Lock, placeholders, save_lock, taken
from services.config_files.kinds import JSON, RULES, Key, canonical, kinds
from services.config_files.plan import Plan, Step, What
from services.config_files.server import Refused, Server, State

POSITION_TAKEN = "position-taken"
ORDER_MATTERS = (POSITION_TAKEN, "served-already", "in-use")  # another step of the same push may make room


@dataclass(frozen=True, slots=True)
class Done:
    """What a push came to. ``failed``: the step that the server refused, and its words."""

    taken: tuple[tuple[Step, str], ...]
    failed: tuple[Step, str] | None
    left: tuple[Step, ...]


def missing_secrets(
    folder: Folder, steps: Sequence[Step], environment: Mapping[str, str], again: bool
) -> list[Finding]:
    """Secrets that the server has none of and that cannot be taken from the environment."""
    found = []
    for step in steps:
        document = folder.documents.get(step.key)
        if document is None or step.key == RULES or step.what is What.DELETE:
            continue
        for name, value in placeholders(document.body).items():
            try:
                secret = taken(value, environment) if _writes_secret(step, again) else ""
            except ValueError as wrong:
                found.append(Finding(step.key.file, document.line([name]), f"{name}: {wrong}"))
                continue
            if secret is None and step.what is What.CREATE:
                text = f"{name}: the server has none to keep. Write <env NAME>, and set NAME where you push."
                found.append(Finding(step.key.file, document.line([name]), text))
    return found


def _writes_secret(step: Step, again: bool) -> bool:
    return again or step.what is What.CREATE or any(change.path == "kind" for change in step.changes)


@dataclass(slots=True)
class Push:
    server: Server
    folder: Folder
    state: State
    lock: Lock
    environment: Mapping[str, str]
    secrets: bool = False  # write them again
    activate: bool = False
    note: str | None = None
    moved: dict[Key, int] = field(default_factory=dict)  # versions of policies that were put out of the way

    def run(self, plan: Plan, tell: Callable[[Step, str], None]) -> Done:
        """In the order of the plan; a step that another makes room for is taken after that one."""
        waiting = deque(plan.acting)
        done: list[tuple[Step, str]] = []
        stuck: dict[Key, Refused] = {}
        failed: tuple[Step, str] | None = None
        while waiting and failed is None:
            step = waiting.popleft()
            try:
                if len(stuck) > len(waiting) and not self._made_room(step, stuck[step.key]):
                    raise Refused(str(stuck[step.key]))
                text = self._take(step)
            except Refused as refused:
                if refused.kind in ORDER_MATTERS and waiting:
                    stuck[step.key] = refused
                    waiting.append(step)
                else:
                    failed = step, str(refused)
                continue
            stuck.clear()
            done.append((step, text))
            tell(step, text)
        if failed is None:
            self._know_all({step.key for step, _ in done if step.what is What.DELETE})
        save_lock(self.folder.root, self.lock)
        return Done(tuple(done), failed, tuple(waiting))

    def _take(self, step: Step) -> str:
        if step.key == RULES:
            return self._ruleset()
        path = f"{kinds()[step.key.folder].path}/{step.key.name}"
        if step.what is What.DELETE:
            self.server.call("DELETE", path, expected=step.version)
            self.lock.known.pop(step.key, None)
            return "deleted"
        expected = self.moved.get(step.key, step.version)
        answer = self.server.call("PUT", path, self._body(step), expected=expected)
        self.lock.known[step.key] = Known(answer["version"], canonical(step.key, answer))
        warnings = "".join(f"\n  {warning}" for warning in answer.get("warnings") or ())
        return f"version {answer['version']}{warnings}"

    def _body(self, step: Step) -> JSON:
        document = self.folder.documents[step.key]
        body = canonical(step.key, document.body)
        if _writes_secret(step, self.secrets):
            for name, value in placeholders(document.body).items():
                secret = taken(value, self.environment)
                body |= {} if secret is None else {name: secret}
        return body

    def _ruleset(self) -> str:
        """A new draft, or the one that an earlier push left; active only where that was asked."""
        body = canonical(RULES, self.folder.documents[RULES].body)
        active = self.state.known[RULES].version
        if self.state.draft is not None and self.state.draft.body == body:
            version = self.state.draft.version
        else:
            more: dict[str, Any] = {"based_on": active} | ({"note": self.note} if self.note else {})
            version = self.server.call("POST", "/v1/rulesets", {**body, **more})["version"]
        if not self.activate:
            return f"draft {version}; `push --activate` makes it the active one"
        answer = self.server.call("POST", f"/v1/rulesets/{version}/activate", {"expected_active": active})
        self.lock.known[RULES] = Known(version, canonical(RULES, answer))
        return f"version {version} is active"

    def _made_room(self, step: Step, why: Refused) -> bool:
        """Policies that change places: one waits at the nearest free position. False where nothing helps."""
        wanted = canonical(step.key, self.folder.documents[step.key].body) if step.key in self.folder.documents else {}
        before = self.state.known.get(step.key)
        if why.kind != POSITION_TAKEN or before is None or "position" not in wanted:
            return False
        bodies = (*self.folder.bodies().values(), *(known.body for known in self.state.known.values()))
        used = {body.get("position") for body in bodies}
        near = (wanted["position"] + offset for offset in range(1, 1_000))
        free = next((place for place in near if place not in used), None)
        if free is None or step.key in self.moved:
            return False
        path = f"{kinds()[step.key.folder].path}/{step.key.name}"
        answer = self.server.call("PUT", path, {**before.body, "position": free}, expected=step.version)
        self.moved[step.key] = answer["version"]
        self.lock.known[step.key] = Known(answer["version"], canonical(step.key, answer))
        return True

    def _know_all(self, gone: Collection[Key]) -> None:
        """What is the same in the files, or in none of them, is known from now on too."""
        bodies = self.folder.bodies()
        for key, known in self.state.known.items():
            if key not in gone and bodies.get(key, known.body) == known.body:
                self.lock.known.setdefault(key, known)
                if self.lock.known[key].body != known.body and not self._written(key):
                    self.lock.known[key] = known

    def _written(self, key: Key) -> bool:
        return self.lock.known[key].version > self.state.known[key].version
