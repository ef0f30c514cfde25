"""What a push would do, document by document and field by field. Pure.

Three sides are compared: the files, the server now, and what the server had when the folder was pulled last. What
changed on the server since then is never overwritten unasked.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from services.config_files.documents import identity
from services.config_files.folder import Known
from services.config_files.kinds import JSON, RULES, Key, place_of
from services.routing.rules.versions import diff as rules_diff
from services.routing.spec import RulesetSpec, RuleSpec

MISSING = object()  # the field is not there: other than null
HIDDEN = "(hidden)"  # what stands for a secret
RULE_FIELDS = ("rules", "fallback")


class What(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    STAYS = "stays"  # only on the server; `--delete` removes it
    KEPT = "kept"  # only on the server, and in use there


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs: ``weekly.mon``, ``targets[first_reply].within``."""

    path: str
    before: Any  # MISSING: it is added
    after: Any  # MISSING: it is removed


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else changed it on the server since the last pull: what they did, and what the files do."""

    text: str
    theirs: tuple[Change, ...]
    ours: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """``version`` is the one that stands on the server, 0 for none."""

    key: Key
    what: What
    version: int
    changes: tuple[Change, ...] = ()
    conflict: Conflict | None = None
    note: str = ""

    @property
    def acts(self) -> bool:
        return self.what in (What.CREATE, What.CHANGE, What.DELETE)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are taken: what is named before what names it, deletions last and reversed."""

    steps: tuple[Step, ...] = field(default=())

    @property
    def acting(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.acts)

    @property
    def conflicts(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.conflict is not None)


def plan(
    files: Mapping[Key, JSON],
    server: Mapping[Key, Known],
    pulled: Mapping[Key, Known],
    delete: bool = False,
    uses: Mapping[Key, list[str]] | None = None,
    secrets: Collection[Key] = (),
) -> Plan:
    """``pulled``: what the server had at the last pull, empty where there was none. ``uses``: why one cannot go.

    ``secrets``: documents whose secrets are written again, also where nothing else differs.
    """
    steps = []
    for key in sorted(files.keys() | server.keys(), key=place_of):
        before, after = server.get(key), files.get(key)
        base = pulled.get(key)
        if after is None and before is not None:
            steps.append(_only_there(key, before, base, bool(pulled), delete, (uses or {}).get(key, [])))
        elif after is not None:
            step = _written(key, before, after, base)
            if step is None and before is not None and key in secrets:
                step = Step(key, What.CHANGE, before.version, (Change("secret", HIDDEN, HIDDEN),))
            steps += [step] if step is not None else []
    kept = [step for step in steps if step.what is not What.DELETE]
    return Plan((*kept, *reversed([step for step in steps if step.what is What.DELETE])))


def _written(key: Key, before: Known | None, after: JSON, base: Known | None) -> Step | None:
    found = changes(key, before.body if before else None, after)
    if before is not None and not found:
        return None
    conflict = None
    if base is not None and (before is None or before.body != base.body):
        theirs = changes(key, base.body, before.body if before else None)
        ours = changes(key, base.body, after)
        text = "changed on the server since you pulled" if before else "deleted on the server since you pulled"
        conflict = Conflict(text, theirs, ours) if theirs or before is None else None
    what = What.CHANGE if before else What.CREATE
    return Step(key, what, before.version if before else 0, found, conflict)


def _only_there(key: Key, before: Known, base: Known | None, was_pulled: bool, delete: bool, uses: list[str]) -> Step:
    gone = changes(key, before.body, None)
    if key == RULES or not delete:
        note = "" if key == RULES else "only on the server; --delete removes it"
        return Step(key, What.STAYS, before.version, note=note)
    if uses:
        return Step(key, What.KEPT, before.version, note=f"in use by {', '.join(uses[:3])}")
    conflict = None
    if was_pulled and base is None:
        conflict = Conflict("made on the server since you pulled", changes(key, None, before.body), gone)
    elif base is not None and base.body != before.body:
        conflict = Conflict("changed on the server since you pulled", changes(key, base.body, before.body), gone)
    return Step(key, What.DELETE, before.version, gone, conflict)


def changes(key: Key, before: JSON | None, after: JSON | None) -> tuple[Change, ...]:
    """Every field that differs; None for no document at all."""
    if before is None or after is None:
        return tuple(_differing(before or {}, after or {}, ""))
    if key != RULES:
        return tuple(_differing(before, after, ""))
    rest = [{"tests": []} | {n: v for n, v in body.items() if n not in RULE_FIELDS} for body in (before, after)]
    return (*_rules(before, after), *_differing(rest[0], rest[1], ""))


def _rules(before: JSON, after: JSON) -> list[Change]:
    """By rule, and as few moves as explain the new order."""
    specs = []
    for body in (before, after):
        try:
            specs.append(RulesetSpec.model_validate({name: body[name] for name in RULE_FIELDS if name in body}))
        except ValidationError:
            return list(_differing(before, after, ""))
    found = rules_diff(specs[0], specs[1])
    said = [Change(f"rules[{each.id}]", _written_out(each), MISSING) for each in found.removed]
    said += [Change(f"rules[{each.id}]", MISSING, _written_out(each)) for each in found.added]
    said += [Change(f"rules[{each.id}] (place)", each.before, each.after) for each in found.moved]
    for each in found.changed:
        pair = (each.before.model_dump(mode="json"), each.after.model_dump(mode="json"))
        said += _differing(*pair, f"rules[{each.before.id}]")
    if found.fallback:
        said += _differing(
            found.fallback[0].model_dump(mode="json"), found.fallback[1].model_dump(mode="json"), "fallback"
        )
    return said


def _written_out(rule: RuleSpec) -> JSON:
    return rule.model_dump(mode="json", exclude={"id"}, exclude_defaults=True)


def _differing(before: Any, after: Any, path: str) -> list[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found = []
        for name in (*before, *(name for name in after if name not in before)):
            inner = f"{path}.{name}" if path else str(name)
            found += _differing(before.get(name, MISSING), after.get(name, MISSING), inner)
        return found
    named = _named(before), _named(after)
    if named[0] is not None and named[1] is not None:
        return _items(named[0], named[1], path)
    same = before is not MISSING and after is not MISSING and before == after and type(before) is type(after)
    return [] if same else [Change(path, before, after)]


def _items(before: JSON, after: JSON, path: str) -> list[Change]:
    """Item by item, however many there are: the new among the old, then those that went."""
    names = [*after, *(name for name in before if name not in after)]
    found = [
        change
        for name in names
        for change in (
            _differing(before[name], after[name], f"{path}[{name}]")
            if name in before and name in after
            else [Change(f"{path}[{name}]", before.get(name, MISSING), after.get(name, MISSING))]
        )
    ]
    kept = [[name for name in one if name in other] for one, other in ((before, after), (after, before))]
    return found if kept[0] == kept[1] else [*found, Change(f"{path} (order)", *kept)]


def _named(value: Any) -> dict[str, Any] | None:
    """Items of a list by what they are called, or by their place; None where it is no list of mappings."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return None
    found = {identity(item).partition("=")[2] or str(place): item for place, item in enumerate(value, 1)}
    return found if len(found) == len(value) else None
