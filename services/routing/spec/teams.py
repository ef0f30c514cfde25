"""Teams as admins write them: who is in them, when they work, what they can do, and how much at once. Pure."""

from enum import StrEnum
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_serializer, model_validator

from services.routing.spec.rulesets import Language, Skill
from shared.contracts import duration
from shared.contracts.hours import HolidaysSpec, Hours, checked
from shared.contracts.spec import Label, Name, Spec, Whole

MAX_MEMBERS = 500
MAX_ABILITIES = 100  # skills, and languages, of one member
MAX_OPEN = 10_000  # cases at once

Capacity = Annotated[Whole, Field(ge=1, le=MAX_OPEN)]
Skills = Annotated[tuple[Skill, ...], Field(max_length=MAX_ABILITIES)]
Languages = Annotated[tuple[Language, ...], Field(max_length=MAX_ABILITIES)]
Weekly = dict[str, Hours]


class Assign(StrEnum):
    """How a case finds its person: whoever has the fewest open cases, or whoever's last one is longest ago."""

    LEAST_LOAD = "least_load"
    ROUND_ROBIN = "round_robin"


def _zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {zone[:60]!r}. Write an IANA name such as Europe/Dublin") from None
    return zone


class Member(Spec):
    """A person of a team; a bare name stands for ``{"person": name}``. What is left out is as the team has it."""

    person: Name
    skills: Skills = ()
    languages: Languages = ()
    capacity: Capacity | None = None
    time_zone: str | None = None
    weekly: Weekly | None = None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        return zone if zone is None else _zone(zone)

    @field_validator("weekly")
    @classmethod
    def _open_at_all(cls, weekly: Weekly | None) -> Weekly | None:
        return weekly if weekly is None else checked(weekly, "this member's week")

    @model_serializer(mode="wrap")
    def _short(self, whole: Any) -> Any:
        return self.person if self.model_fields_set <= {"person"} else whole(self)


def _member(value: Any) -> Any:
    return {"person": value} if isinstance(value, str) else value


class TeamFallback(Spec):
    """The team that gets a case when, ``after`` so long, nobody here is available for it."""

    team: Name
    after: str = "PT0S"

    @field_validator("after")
    @classmethod
    def _a_duration(cls, text: str) -> str:
        duration.parse(text)
        return text


class TeamSpec(Spec):
    """A team as an admin writes it. ``members`` name people; routing does not check that they exist.

    Without ``weekly`` it always works. Without ``assign`` its people take cases themselves. ``capacity`` is how many
    open cases its people have at most together, ``member_capacity`` each of them.
    """

    label: Label | None = None
    time_zone: str = "UTC"
    members: Annotated[tuple[Annotated[Member, BeforeValidator(_member)], ...], Field(max_length=MAX_MEMBERS)] = ()
    weekly: Weekly | None = None
    holidays: HolidaysSpec = HolidaysSpec()
    skills: Skills = ()
    languages: Languages = ()
    assign: Assign | None = None
    capacity: Capacity | None = None
    member_capacity: Capacity | None = None
    fallback: TeamFallback | None = None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        return _zone(zone)

    @field_validator("weekly")
    @classmethod
    def _open_at_all(cls, weekly: Weekly | None) -> Weekly | None:
        return weekly if weekly is None else checked(weekly, "the team's week")

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        people = [member.person for member in self.members]
        if len(set(people)) != len(people):
            raise ValueError("members: a member is named twice. Name each once")
        return self

    @property
    def staffed(self) -> bool:
        """Cases that come to this team wait until there is somebody for them."""
        return self.assign is not None or self.fallback is not None

    def has(self, person: str) -> bool:
        return any(member.person == person for member in self.members)
