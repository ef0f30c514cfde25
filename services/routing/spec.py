"""What admins write for routing: teams and rulesets. Strict, immutable documents. Pure."""

from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, StringConstraints, field_validator, model_validator

from shared.conditions import MAX_SOURCE
from shared.contracts.spec import Label, Name, Spec
from shared.contracts.words import Priority

MAX_RULES = 2_000
MAX_TAGS = 20  # that one rule sets
MAX_MEMBERS = 500

MAX_SKILLS = 20  # that one rule asks for

Skill = Name
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]  # BCP 47
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
When = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SOURCE)]


class TeamSpec(Spec):
    """A team as an admin writes it. ``members`` name people; routing does not check that they exist."""

    label: Label | None = None
    time_zone: str = "UTC"
    members: Annotated[tuple[Name, ...], Field(max_length=MAX_MEMBERS)] = ()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {zone[:60]!r}. Write an IANA name such as Europe/Dublin") from None
        return zone

    @field_validator("members")
    @classmethod
    def _once_each(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(members)) != len(members):
            raise ValueError("a member is named twice. Name each once")
        return members


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


class FallbackSpec(Spec):
    """Where a case goes that no rule matched; mandatory, so that nothing is unrouted."""

    team: Name
    priority: Priority = Priority.NORMAL


class RulesetSpec(Spec):
    """The ordered rules. The first that matches sets all but the tags; those come from every one that matches."""

    rules: Annotated[tuple[RuleSpec, ...], Field(max_length=MAX_RULES)] = ()
    fallback: FallbackSpec

    @model_validator(mode="after")
    def _ids_once(self) -> Self:
        seen: set[str] = set()
        for number, rule in enumerate(self.rules, 1):
            if rule.id in seen:
                raise ValueError(f"rule {number} has the id {rule.id!r} of an earlier rule. Give each rule its own id")
            seen.add(rule.id)
        return self

    def teams(self) -> dict[str, str]:
        """Every team named, with the first place that names it (``rule 'vip'``, ``the fallback``)."""
        named = {self.fallback.team: "the fallback"}
        for rule in self.rules:
            named.setdefault(rule.then.team, f"rule {rule.id!r}")
        return named
