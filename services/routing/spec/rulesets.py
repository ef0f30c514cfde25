"""Rulesets as admins write them. Pure."""

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    FailFast,
    Field,
    StringConstraints,
    model_serializer,
    model_validator,
)

from shared.conditions import MAX_SOURCE
from shared.contracts.spec import Instant, Name, Part, Spec, Whole
from shared.contracts.words import Channel, Priority

MAX_RULES = 2_000
MAX_TAGS = 20  # that one rule sets
MAX_HAND_OFF_RULES = 100
MAX_TESTS = 500  # of one ruleset

MAX_SKILLS = 20  # that one rule asks for

Skill = Name
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]  # BCP 47
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
When = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]


class Then(Part):
    """What a matching rule does. Without a priority the fallback's holds.

    ``skills`` and ``language``: what whoever takes the case should have.
    """

    team: Name
    priority: Priority | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)] = ()
    skills: Annotated[tuple[Skill, ...], Field(max_length=MAX_SKILLS)] = ()
    language: Language | None = None


class RuleSpec(Part):
    id: RuleId
    when: When
    then: Then


class Onward(Part):
    """Where a hand-off rule sends a case: to a team, or ``back`` to the one that had it before."""

    team: Name | None = None
    back: bool = False
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.team is None) == (not self.back):
            raise ValueError('give either a team or "back": true')
        return self


class HandOffRule(Part):
    """What sends a case on when something happens on it."""

    id: RuleId
    when: When
    then: Onward


class FallbackSpec(Part):
    """Where a case goes that no rule matched; mandatory, so that nothing is unrouted."""

    team: Name
    priority: Priority = Priority.NORMAL


Line = Annotated[str, StringConstraints(max_length=2_000)]


_SCALARS = (str, int, float)  # a truth is an int


def _json(attributes: dict[str, Any]) -> dict[str, Any]:
    """As pydantic's ``JsonValue``, which calls Python for each value twice."""
    waiting: list[Any] = [attributes]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif not (each is None or isinstance(each, _SCALARS)):
            raise ValueError(f"{type(each).__name__} is nothing that JSON has; write it as a text")
    return attributes


class GivenCustomer(Part):
    id: Line | None = None
    email: Line | None = None
    phone: Line | None = None
    name: Line | None = None
    tier: Line | None = None
    country: Line | None = None
    contacts_24h: Annotated[Whole, Field(ge=0)] | None = None
    contacts_7d: Annotated[Whole, Field(ge=0)] | None = None


class Given(Part):
    """A contact but for its channel."""

    source: Line | None = None
    external_id: Line | None = None
    thread: Line | None = None
    url: Line | None = None
    occurred_at: Instant | None = None
    customer: GivenCustomer = GivenCustomer()
    subject: Line = ""
    body: str = ""
    language: Line | None = None
    reason: Line | None = None
    tags: Annotated[tuple[Line, ...], Field(max_length=200)] = ()
    attributes: Annotated[dict[str, Any], AfterValidator(_json)] = {}


class GivenContact(Given):
    """A contact as one would post it, to try rules on."""

    channel: Channel


class Expect(Part):
    """What a test expects; what is left out may be anything. ``rule`` null: the fallback. ``tags``: all of them."""

    team: Name | None = None
    priority: Priority | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=200)] | None = None
    rule: RuleId | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("expect something: a team, a priority, tags or a rule (null for the fallback)")
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class TestSpec(Part):
    """An expectation kept with the ruleset. Without ``at`` the contact comes when the test runs."""

    __test__ = False  # not one of pytest's

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    given: GivenContact
    at: Instant | None = None
    expect: Expect


class RulesetSpec(Spec):
    """The ordered rules. The first that matches sets all but the tags; those come from every one that matches.

    ``hand_off`` are tried, in order, when something happens on a case that somebody has; the first that matches acts.
    ``tests`` must hold before the ruleset is activated.
    """

    rules: Annotated[tuple[RuleSpec, ...], Field(max_length=MAX_RULES), FailFast()] = ()
    fallback: FallbackSpec
    hand_off: Annotated[tuple[HandOffRule, ...], Field(max_length=MAX_HAND_OFF_RULES), FailFast()] = ()
    tests: Annotated[tuple[TestSpec, ...], Field(max_length=MAX_TESTS), FailFast()] = ()

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        seen: set[str] = set()
        ids = (*(rule.id for rule in self.rules), *(rule.id for rule in self.hand_off))
        for number, each in enumerate(ids, 1):
            if each in seen:
                raise ValueError(f"rule {number} has the id {each!r} of an earlier rule. Give each rule its own id")
            seen.add(each)
        names = [test.name for test in self.tests]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two tests are called {twice!r}. Give each its own name")
        return self

    def teams(self) -> dict[str, str]:
        """Every team named, with the first place that names it (``rule 'vip'``, ``the fallback``)."""
        named = {self.fallback.team: "the fallback"}
        for rule in self.rules:
            named.setdefault(rule.then.team, f"rule {rule.id!r}")
        for each in self.hand_off:
            if each.then.team is not None:
                named.setdefault(each.then.team, f"hand-off rule {each.id!r}")
        return named
