"""Desks of teams: who has how much, whose turn it is, who is away, and what waits. One desk at a time, by its row."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.routing.spec import TeamSpec
from services.routing.staffing import Away, Bench, Needs, Waiting
from shared.db import Tx, from_json

LOOKED_AT = 200  # waiting cases of each kind of need, the oldest
SHOWN = 50  # open cases of one person in an answer


async def with_work(tx: Tx, teams: Collection[str]) -> list[str]:
    """The teams in which a case waits."""
    rows = await tx.rows(
        "SELECT t.name FROM unnest(CAST(:teams AS text[])) AS t (name)"
        " WHERE EXISTS (SELECT 1 FROM assignment a WHERE a.team = t.name AND a.waiting) ORDER BY t.name",
        teams=sorted(teams),
    )
    return [row.name for row in rows]


async def lock(tx: Tx, team: str) -> bool:
    """Whether the desk is ours until the end of the transaction; another replica may have it."""
    await tx.run("INSERT INTO desk (team) VALUES (:team) ON CONFLICT DO NOTHING", team=team)
    return bool(await tx.rows("SELECT team FROM desk WHERE team = :team FOR UPDATE SKIP LOCKED", team=team))


async def bench(tx: Tx, name: str, team: TeamSpec, now: datetime) -> Bench:
    """The team's people as they stand. Load is counted in rows, so all replicas see the same."""
    loads = await tx.rows(
        "SELECT person, CAST(count(*) AS int) AS open FROM assignment"
        " WHERE team = :team AND active AND person IS NOT NULL GROUP BY person ORDER BY person",
        team=name,
    )
    turns = await tx.rows("SELECT person, turn FROM desk_turn WHERE team = :team ORDER BY person", team=name)
    gone = await away(tx, [member.person for member in team.members], now)
    return Bench(
        name,
        team,
        now,
        {row.person: row.open for row in loads},
        {row.person: row.turn for row in turns},
        {each.person: each for each in gone},
    )


async def waiting(tx: Tx, team: str) -> list[Waiting]:
    """The oldest first; the oldest ``LOOKED_AT`` of each kind of need, so that no kind hides another."""
    rows = await tx.rows(
        "SELECT case_id, assigned_at, skills, language, fallen FROM (SELECT case_id, assigned_at, skills, language,"
        " fallen, row_number() OVER (PARTITION BY skills, language ORDER BY assigned_at, case_id) AS place"
        " FROM assignment WHERE team = :team AND waiting) w WHERE place <= :most ORDER BY assigned_at, case_id",
        team=team,
        most=LOOKED_AT,
    )
    return [
        Waiting(
            row.case_id,
            row.assigned_at,
            Needs(frozenset(from_json(row.skills)), row.language),
            tuple(from_json(row.fallen)),
        )
        for row in rows
    ]


async def took_turns(tx: Tx, team: str, people: Sequence[str]) -> None:
    """In the order in which they were given cases. The caller holds the desk."""
    last = int(await tx.scalar("SELECT coalesce(max(turn), 0) FROM desk_turn WHERE team = :team", team=team))
    turns = {person: last + place for place, person in enumerate(people, 1)}
    await tx.run(
        "INSERT INTO desk_turn (team, person, turn) SELECT :team, * FROM unnest(CAST(:people AS text[]),"
        " CAST(:turns AS bigint[])) ON CONFLICT (team, person) DO UPDATE SET turn = excluded.turn",
        team=team,
        people=list(turns),
        turns=list(turns.values()),
    )


# Who is away


async def away(tx: Tx, people: Collection[str], now: datetime) -> list[Away]:
    rows = await tx.rows(
        "SELECT person, since, until, reason, by FROM away WHERE person = ANY(CAST(:people AS text[]))"
        " AND (until IS NULL OR until > :now) ORDER BY person",
        people=sorted(people),
        now=now,
    )
    return [Away(row.person, row.since, row.until, row.reason, row.by) for row in rows]


async def leave(tx: Tx, each: Away) -> None:
    await tx.run(
        "INSERT INTO away (person, since, until, reason, by) VALUES (:person, :since, :until, :reason, :by)"
        " ON CONFLICT (person) DO UPDATE SET since = excluded.since, until = excluded.until,"
        " reason = excluded.reason, by = excluded.by",
        person=each.person,
        since=each.since,
        until=each.until,
        reason=each.reason,
        by=each.by,
    )


async def come_back(tx: Tx, person: str) -> None:
    await tx.run("DELETE FROM away WHERE person = :person", person=person)


# What people have


@dataclass(frozen=True, slots=True)
class Held:
    """An open case that a person has, oldest first where listed."""

    case_id: UUID
    number: str | None
    team: str
    person: str
    assigned_at: datetime


async def held(tx: Tx, people: Collection[str], team: str | None = None, most: int = SHOWN) -> list[Held]:
    """The oldest open cases of each of the people, at most ``most`` of each; of one team, or of all."""
    rows = await tx.rows(
        "SELECT case_id, number, team, person, assigned_at FROM (SELECT a.case_id, k.number, a.team, a.person,"
        " a.assigned_at, row_number() OVER (PARTITION BY a.person ORDER BY a.assigned_at, a.case_id) AS place"
        " FROM assignment a LEFT JOIN contact k ON k.case_id = a.case_id WHERE a.active AND a.person IS NOT NULL"
        " AND a.person = ANY(CAST(:people AS text[])) AND (CAST(:team AS text) IS NULL OR a.team = :team)) h"
        " WHERE place <= :most ORDER BY person, assigned_at, case_id",
        people=sorted(people),
        team=team,
        most=most,
    )
    return [Held(row.case_id, row.number, row.team, row.person, row.assigned_at) for row in rows]


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits in a team: how many cases, since when the oldest, by what they ask for."""

    needs: Needs
    cases: int
    oldest: datetime


async def queues(tx: Tx, team: str) -> list[Queue]:
    """The oldest first."""
    rows = await tx.rows(
        "SELECT skills, language, CAST(count(*) AS int) AS cases, min(assigned_at) AS oldest FROM assignment"
        " WHERE team = :team AND waiting GROUP BY skills, language ORDER BY min(assigned_at), skills, language",
        team=team,
    )
    return [Queue(Needs(frozenset(from_json(r.skills)), r.language), r.cases, r.oldest) for r in rows]


async def ping_pong(tx: Tx, least: int, most: int = SHOWN) -> list[Held]:
    """Open cases that came right back ``least`` times or more, oldest first."""
    rows = await tx.rows(
        "SELECT a.case_id, k.number, a.team, coalesce(a.person, '') AS person, a.assigned_at FROM assignment a"
        " LEFT JOIN contact k ON k.case_id = a.case_id WHERE a.active AND a.returns > 0 AND a.returns >= :least"
        " ORDER BY a.assigned_at, a.case_id LIMIT :most",
        least=least,
        most=most,
    )
    return [Held(row.case_id, row.number, row.team, row.person, row.assigned_at) for row in rows]
