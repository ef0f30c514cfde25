"""Who of a team takes a case: who is there, who can, whose turn it is. Pure.

Oldest first: the case that came to the team first gets the first person who can take it. A later case never takes a
person whom an earlier one waits for; it may take one who could not have helped the earlier one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from services.routing.spec import Assign, Member, TeamSpec
from services.routing.staffing.hours import opens_next, works
from shared.contracts import duration
from shared.contracts.envelope import Because

GIVEN_AT_ONCE = 200  # cases of one team in one step


@dataclass(frozen=True, slots=True)
class Away:
    """A person is not there, whichever team asks; ``until`` None: until they say otherwise."""

    person: str
    since: datetime
    until: datetime | None
    reason: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Bench:
    """The people of a team as they stand at an instant.

    ``load``: open cases of this team by person. ``turns``: the number of the last case each was given, of all that
    the team gave; who was never given one has no turn yet.
    """

    name: str
    team: TeamSpec
    now: datetime
    load: Mapping[str, int] = field(default_factory=dict)
    turns: Mapping[str, int] = field(default_factory=dict)
    away: Mapping[str, Away] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a case asks of the person who takes it."""

    skills: frozenset[str] = frozenset()
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that came to the team at ``since`` and has nobody yet."""

    case_id: UUID
    since: datetime
    needs: Needs = Needs()
    fallen: tuple[str, ...] = ()  # teams it left for want of people


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a member could take a case now, and why not. ``here``: apart from how much they have already."""

    person: str
    here: bool
    free: bool
    load: int
    capacity: int | None
    because: str
    back_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Gift:
    """A case goes to a person; to nobody in particular (None) where the team's people take cases themselves."""

    case_id: UUID
    person: str | None
    because: Because


def presence(bench: Bench, member: Member) -> Presence:
    team, load = bench.team, bench.load.get(member.person, 0)
    capacity = member.capacity or team.member_capacity
    away = bench.away.get(member.person)
    if away is not None and (away.until is None or away.until > bench.now):
        until = f" until {away.until:%d %b %H:%M} UTC" if away.until else ""
        reason = f": {away.reason}" if away.reason else ""
        return Presence(member.person, False, False, load, capacity, f"away{until}{reason}", away.until)
    weekly, zone = member.weekly or team.weekly, member.time_zone or team.time_zone
    if weekly is not None and not works(weekly, zone, team.holidays, bench.now):
        back = opens_next(weekly, zone, team.holidays, bench.now)
        return Presence(member.person, False, False, load, capacity, "outside working hours", back)
    if capacity is not None and load >= capacity:
        return Presence(member.person, True, False, load, capacity, f"has {load} open cases of {capacity}")
    return Presence(member.person, True, True, load, capacity, "available")


def suits(team: TeamSpec, member: Member, needs: Needs) -> bool:
    """A language of the same main tag will do: who speaks ``de`` takes ``de-AT``."""
    if not needs.skills <= {*team.skills, *member.skills}:
        return False
    spoken = {each.partition("-")[0] for each in (*team.languages, *member.languages)}
    return needs.language is None or needs.language.partition("-")[0] in spoken


def full(bench: Bench) -> bool:
    """The team's people have as many cases together as they may."""
    capacity = bench.team.capacity
    return capacity is not None and sum(bench.load.values()) >= capacity


def plan(bench: Bench, waiting: Sequence[Waiting], most: int = GIVEN_AT_ONCE) -> list[Gift]:
    """Who gets which of the waiting cases now. ``waiting`` is oldest first."""
    team = bench.team
    found = [(member, presence(bench, member)) for member in team.members]
    if team.assign is None:
        return _somebody(team, [member for member, each in found if each.here], waiting)
    load = {each.person: each.load for _, each in found}
    room = {each.person: each.capacity - each.load for _, each in found if each.free and each.capacity is not None}
    turns = dict(bench.turns)
    turn = max(turns.values(), default=0)
    left = most if team.capacity is None else min(most, team.capacity - sum(bench.load.values()))
    able: dict[Needs, list[str]] = {}
    gifts: list[Gift] = []
    for case in waiting:
        if len(gifts) >= left:
            break
        if case.needs not in able:
            able[case.needs] = [m.person for m, each in found if each.free and suits(team, m, case.needs)]
        can = [person for person in able[case.needs] if room.get(person, 1) > 0]
        if not can:
            continue
        person = min(can, key=lambda each: _rank(team.assign, load, turns, each))
        gifts.append(Gift(case.case_id, person, _why(team.assign, person, load[person], len(can), case.needs)))
        turn += 1
        turns[person], load[person] = turn, load[person] + 1
        if person in room:
            room[person] -= 1
    return gifts


def _rank(how: Assign | None, load: Mapping[str, int], turns: Mapping[str, int], person: str) -> tuple[int, int, str]:
    return load[person] if how is Assign.LEAST_LOAD else 0, turns.get(person, 0), person


def _why(how: Assign | None, person: str, load: int, available: int, needs: Needs) -> Because:
    rule = f"the fewest open cases ({load})" if how is Assign.LEAST_LOAD else "the longest since the last one"
    facts = {"assign": str(how), "open_cases": load, "available": available, "skills": sorted(needs.skills),
             "language": needs.language}  # fmt: skip
    return Because(text=f"{person} takes it: {rule} of the {available} who can", facts=facts)


def _somebody(team: TeamSpec, here: Sequence[Member], waiting: Sequence[Waiting]) -> list[Gift]:
    """A team whose people take cases themselves keeps a case where anybody is there who could."""
    because = Because(text="Somebody of the team is there; its people take cases themselves")
    return [Gift(w.case_id, None, because) for w in waiting if any(suits(team, m, w.needs) for m in here)]


def falls(bench: Bench, waiting: Sequence[Waiting]) -> list[Waiting]:
    """Those that waited as long as the team's fallback says; a team that a case left so is not tried again."""
    fallback = bench.team.fallback
    if fallback is None:
        return []
    patience = duration.parse(fallback.after)
    due = [each for each in waiting if each.since + patience <= bench.now]
    return [each for each in due if fallback.team not in each.fallen]


def nobody(bench: Bench, needs: Needs) -> Because:
    """Why nobody is available for a case, in one sentence."""
    team = bench.team
    able = [member for member in team.members if suits(team, member, needs)]
    here = [each for each in (presence(bench, member) for member in able) if each.here]
    asked = _asked(needs)
    facts = {"members": len(team.members), "able": len(able), "here": len(here),
             "skills": sorted(needs.skills), "language": needs.language}  # fmt: skip
    if not team.members:
        text = f"{bench.name} has no members"
    elif not able:
        text = f"Nobody of {bench.name} has {asked}"
    elif not here:
        text = f"Nobody of {bench.name} who could take it is there: {_said(bench, able)}"
    elif full(bench):
        text = f"{bench.name} has {sum(bench.load.values())} open cases of {team.capacity}"
    else:
        text = f"Everybody of {bench.name} who could take it is full: {_said(bench, able)}"
    return Because(text=text, facts=facts)


def _asked(needs: Needs) -> str:
    said = [f"the skill {skill}" for skill in sorted(needs.skills)]
    return " and ".join([*said, *([f"the language {needs.language}"] if needs.language else [])])


def _said(bench: Bench, members: Sequence[Member]) -> str:
    said = [f"{each.person} {_is(each)}" for each in (presence(bench, member) for member in members[:5])]
    more = f" and {len(members) - 5} more" if len(members) > 5 else ""
    return ", ".join(said) + more


def _is(each: Presence) -> str:
    return each.because if each.here else f"is {each.because}"
