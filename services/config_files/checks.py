"""Everything that can be said of files without a server: by the models, conditions and checks of the API itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from services.config_files.documents import Document, Path
from services.config_files.folder import Finding, Folder, names_secret, placeholders
from services.config_files.kinds import JSON, RULES, RULESET_FIELDS, TESTS, Configurable, Key, kinds
from services.config_files.rule_tests import TestResult, run_tests
from services.routing import rules
from services.routing.api.shapes import RulesetBody
from services.routing.rules.lint import lint
from services.routing.spec import RulesetSpec
from services.routing.store.rulesets import ACTIVE
from shared.contracts.spec import READ_ONLY
from shared.errors import Problem
from shared.resources import Resource, Snapshot
from shared.sealing import FIELDS as SECRET_FIELDS

STAND_IN = "whsec_c3RhbmRzIGZvciBhIHNlY3JldA=="  # where a secret is needed to check the rest
_THEN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Report:
    findings: tuple[Finding, ...]
    tests: tuple[TestResult, ...]

    @property
    def errors(self) -> list[Finding]:
        return [each for each in self.findings if each.error]

    @property
    def passed(self) -> bool:
        return not self.errors and not any(test.wrong for test in self.tests)


def check(folder: Folder, now: datetime, beside: Mapping[Key, JSON] | None = None) -> Report:
    """``beside``: what stands on the server and in no file, so that files may name it."""
    findings = list(folder.findings)
    specs: dict[Key, Any] = {}
    for key, document in folder.documents.items():
        if key != RULES:
            found, spec = _by_model(key, document)
            findings += found
            if spec is not None:
                specs[key] = spec
    bodies = {key: _storable(key, document) for key, document in folder.documents.items() if key in specs}
    state = snapshots({**(beside or {}), **bodies})
    for key, spec in specs.items():
        findings += _by_kind(kinds()[key.folder], key, spec, folder.documents[key], state)
    tests: tuple[TestResult, ...] = ()
    if RULES in folder.documents:
        found, tests = _ruleset(folder.documents[RULES], now, set(state["routing"].of("team")))
        findings += found
    return Report(tuple(sorted(findings, key=lambda each: (each.file, each.line))), tests)


def snapshots(bodies: Mapping[Key, JSON], active: JSON | None = None) -> dict[str, Snapshot]:
    """All documents as each service would have them. ``active``: the ruleset, which uses teams."""
    found: dict[str, dict[str, dict[str, Resource]]] = {}
    for each in kinds().values():
        found.setdefault(each.service, {})[each.kind.kind] = {}
    for key, body in bodies.items():
        if key == RULES:
            active = active or body
        elif key.folder in kinds():
            own = kinds()[key.folder]
            made = Resource(own.kind.kind, key.name, 1, body, _THEN, "")
            found[own.service][own.kind.kind][key.name] = made
    if active is not None:
        kind, name = ACTIVE
        teams = RulesetSpec.model_validate({n: active[n] for n in ("rules", "fallback") if n in active}).teams()
        found["routing"][kind] = {name: Resource(kind, name, 1, {"teams": teams, "version": 1}, _THEN, "")}
    return {service: Snapshot(0, of) for service, of in found.items()}


def uses(keys: Mapping[Key, JSON], state: Mapping[str, Snapshot]) -> dict[Key, list[str]]:
    """Why each of these cannot be deleted, once ``state`` holds."""
    own = kinds()
    return {key: own[key.folder].kind.uses(state[own[key.folder].service], key.name) for key in keys if key != RULES}


def _storable(key: Key, document: Document) -> JSON:
    """The body with a stand-in for its secret, as a server that has one would hold it."""
    return {**document.body, **{name: _stand_in(value) for name, value in placeholders(document.body).items()}}


def _stand_in(value: Any) -> Any:
    return [STAND_IN for _ in value] if isinstance(value, list) else STAND_IN


def _by_model(key: Key, document: Document) -> tuple[list[Finding], Any]:
    findings = [
        Finding(key.file, document.line([name]), f"{name} is what the server adds. Leave it out.")
        for name in document.body
        if name in READ_ONLY and name not in kinds()[key.folder].kind.model.model_fields
    ]
    for name, value in placeholders(document.body).items():
        if not names_secret(value):
            text = f"{name}: a secret has no place in a file. Write <kept on the server> or <env NAME>."
            findings.append(Finding(key.file, document.line([name]), text))
    body = {name: value for name, value in document.body.items() if name not in SECRET_FIELDS}
    try:
        return findings, kinds()[key.folder].kind.model.model_validate(body)
    except ValidationError as wrong:
        return findings + list(_said(key, document, wrong)), None


def _said(key: Key, document: Document, wrong: ValidationError, under: Path = ()) -> Iterator[Finding]:
    for each in wrong.errors()[:20]:
        path = [*under, *(part for part in each["loc"] if _leads(document, part))]
        where = ".".join(str(part) for part in path)
        text = each["msg"].removeprefix("Value error, ")
        if each["type"] == "extra_forbidden":
            text = "there is no such field. Correct its name, or leave it out."
        elif each["type"] == "missing":
            text = f"{each['loc'][-1]} is missing. Write it."
        yield Finding(key.file, document.line(path), f"{where}: {text}" if where else text)


def _leads(document: Document, part: str | int) -> bool:
    """Tags of unions are no part of the document's own path."""
    return isinstance(part, int) or not part.startswith(("function-", "tagged-", "union"))


def _by_kind(
    own: Configurable, key: Key, spec: Any, document: Document, state: Mapping[str, Snapshot]
) -> Iterator[Finding]:
    try:
        own.kind.check(key.name, spec, state[own.service])
    except Problem as problem:
        first = problem.detail.partition(":")[0].strip()
        line = document.line(first.replace("[", ".").split(".")) if first in document.body else _place(document, first)
        yield Finding(key.file, line, problem.detail)


def _place(document: Document, metric: str) -> int:
    """The line of a policy's target, which a problem names by its metric."""
    for place, target in enumerate(document.body.get("targets") or ()):
        if isinstance(target, Mapping) and target.get("metric") == metric:
            return document.line(["targets", place])
    return document.line([])


def _ruleset(document: Document, now: datetime, teams: set[str]) -> tuple[list[Finding], tuple[TestResult, ...]]:
    unknown = [name for name in document.body if name not in (*RULESET_FIELDS, TESTS)]
    findings = [
        Finding(
            RULES.file, document.line([name]), f"{name}: there is no such field. Correct its name, or leave it out."
        )
        for name in unknown
    ]
    try:
        body = RulesetBody.model_validate(
            {name: document.body[name] for name in RULESET_FIELDS if name in document.body}
        )
    except ValidationError as wrong:
        return [*findings, *_said(RULES, document, wrong)], ()
    places = {rule.id: place for place, rule in enumerate(body.rules)}
    named: list[tuple[str, str, Path]] = [
        (f"rule {rule.id}", rule.then.team, ["rules", n, "then", "team"]) for n, rule in enumerate(body.rules)
    ]
    for who, team, path in [*named, ("fallback", body.fallback.team, ["fallback", "team"])]:
        if team not in teams:
            text = f"{who}: there is no team {team}. Write teams/{team}.yaml, or name another."
            findings.append(Finding(RULES.file, document.line(path), text))
    spec = RulesetSpec.model_validate(body.model_dump(include=set(RulesetSpec.model_fields), exclude_unset=True))
    try:
        compiled = rules.compile(0, spec)
        rules.check_work(compiled)
    except rules.RulesetError as wrong:
        for each in wrong.problems:
            line = document.line(["rules", places[each.rule], "when"])
            shown = f"\n{each.place['shown']}" if each.place.get("shown") else ""
            findings.append(Finding(RULES.file, line, f"rule {each.rule}: {each.problem}{shown}"))
        return findings, ()
    for odd in lint(compiled, teams):
        if odd is not None and odd.kind != "unknown-team":
            line = document.line(["rules", places[odd.rule]])
            findings.append(Finding(RULES.file, line, f"rule {odd.rule}: {odd.text}. {odd.action}.", error=False))
    return findings, tuple(run_tests(document, compiled, now))
