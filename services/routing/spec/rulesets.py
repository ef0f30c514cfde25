"""Rulesets as admins write them. Pure."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from shared.conditions import MAX_SOURCE
from shared.contracts.spec import Name, Spec
from shared.contracts.words import Priority

MAX_RULES = 2_000
MAX_TAGS = 20  # that one rule sets
MAX_HAND_OFF_RULES = 100

MAX_SKILLS = 20  # that one rule asks for

Skill = Name
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]  # BCP 47
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
When = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]


class Then(Spec):
    """What a matching rule does. Without a priority the fallback's holds.

    ``skills`` and ``language``: what whoever takes the case should have.
    """

    team: Name
    priority: Priority | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)] = ()
    skills: Annotated[tuple[Skill, ...], Field(max_length=MAX_SKILLS)] = ()
    language: Language | None = None


class RuleSpec(Spec):
    id: RuleId
    when: When
    then: Then


class Onward(Spec):
    """Where a hand-off rule sends a case: to a team, or ``back`` to the one that had it before."""

    team: Name | None = None
    back: bool = False
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.team is None) == (not self.back):
            raise ValueError('give either a team or "back": true')
        return self


class HandOffRule(Spec):
    """What sends a case on when something happens on it."""

    id: RuleId
    when: When
    then: Onward


class FallbackSpec(Spec):
    """Where a case goes that no rule matched; mandatory, so that nothing is unrouted."""

    team: Name
    priority: Priority = Priority.NORMAL


class RulesetSpec(Spec):
    """The ordered rules. The first that matches sets all but the tags; those come from every one that matches.

    ``hand_off`` are tried, in order, when something happens on a case that somebody has; the first that matches acts.
    """

    rules: Annotated[tuple[RuleSpec, ...], Field(max_length=MAX_RULES)] = ()
    fallback: FallbackSpec
    hand_off: Annotated[tuple[HandOffRule, ...], Field(max_length=MAX_HAND_OFF_RULES)] = ()

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        seen: set[str] = set()
        ids = (*(rule.id for rule in self.rules), *(rule.id for rule in self.hand_off))
        for number, each in enumerate(ids, 1):
            if each in seen:
                raise ValueError(f"rule {number} has the id {each!r} of an earlier rule. Give each rule its own id")
            seen.add(each)
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
