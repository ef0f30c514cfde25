"""Batches: a line in, a line out, each its own fate."""

import json
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import DBAPIError

from services.intake.api import lines
from services.intake.api.lines import each_its_own
from shared.errors import Problem, conflict
from shared.points import install
from tests.unit.intake.conftest import Intake


async def test_every_line_has_its_own_fate(intake: Intake) -> None:
    answers = await intake.batch(
        [
            {"subject": "one", "source": "desk", "external_id": "1"},
            b"{not json",
            {"subject": "two", "unknown": 1},
            b"",
            {"subject": "three\x00"},
            {"subject": "one", "source": "desk", "external_id": "1"},
            {"subject": "other", "source": "desk", "external_id": "1"},
            {"subject": "four"},
        ]
    )
    assert [(a["line"], a["status"]) for a in answers] == [
        *((1, 202), (2, 422), (3, 422), (5, 422), (6, 202), (7, 409), (8, 202)),
    ]
    by_line = {answer["line"]: answer for answer in answers}
    assert by_line[6]["contact_id"] == by_line[1]["contact_id"]
    assert (by_line[1]["duplicate"], by_line[6]["duplicate"]) == (False, True)
    assert "unknown" in by_line[3]["detail"]
    assert await intake.count("contact") == 2


async def test_lines_of_one_thread_open_one_case_in_order(intake: Intake) -> None:
    answers = await intake.batch([{"subject": str(n), "source": "desk", "thread": "t"} for n in range(5)])
    assert [answer["opened_case"] for answer in answers] == [True, False, False, False, False]
    assert len({answer["case_id"] for answer in answers}) == 1
    events = await intake.published()
    assert [event["subject"] for event in events] == ["0", "1", "2", "3", "4"]


async def test_the_number_of_statements_does_not_grow_with_the_batch(intake: Intake) -> None:
    async def statements(count: int, thread: str) -> int:
        seen: list[str] = []

        async def count_it(point: str) -> None:
            seen.append(point)

        with install(count_it):
            await intake.batch([{"subject": "x", "source": "desk", "thread": f"{thread}{n}"} for n in range(count)])
        return seen.count("db.statement")

    await statements(1, "warm")
    assert await statements(2, "a") == await statements(lines.GROUP, "b")


async def test_more_lines_than_a_group_are_all_answered(intake: Intake) -> None:
    answers = await intake.batch([{"subject": str(n)} for n in range(lines.GROUP + 7)])
    assert [answer["line"] for answer in answers] == list(range(1, lines.GROUP + 8))
    assert await intake.count("case_file") == lines.GROUP + 7


async def test_history_is_marked_and_told(intake: Intake) -> None:
    await intake.batch([{"subject": "old"}], "/v1/contacts/batch?history=true")
    [event] = await intake.published()
    assert event["history"] is True


async def test_a_line_that_is_too_long_fails_alone(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 1_000)
    long = json.dumps({"subject": "x", "body": "x" * 5_000}).encode()
    answers = await intake.batch([{"subject": "a"}, long, {"subject": "b"}, long])
    assert [answer["status"] for answer in answers] == [202, 413, 202, 413]


async def test_too_many_lines_are_refused_from_there_on(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINES_LIMIT", 3)
    answers = await intake.batch([{"subject": str(n)} for n in range(5)])
    assert [answer["status"] for answer in answers] == [202, 202, 202, 413]
    assert await intake.count("contact") == 3


async def test_an_empty_body_has_no_answers(intake: Intake) -> None:
    assert await intake.batch([b""]) == []


async def test_activities_go_in_batches_too(intake: Intake) -> None:
    case = await intake.contact(source="desk", thread="t")
    answers = await intake.batch(
        [
            {"kind": "picked_up", "case_id": case["case_id"], "external_id": "1"},
            {"kind": "picked_up", "case_id": case["case_id"], "external_id": "1"},
            {"kind": "note_added", "case_id": "00000000-0000-0000-0000-000000000000"},
            {"kind": "status_changed", "source": "desk", "thread": "t"},
            {"kind": "status_changed", "status": "pending", "source": "desk", "thread": "t"},
            {"kind": "note_added", "source": "desk", "thread": "unknown"},
        ],
        "/v1/activities/batch",
    )
    assert [answer["status"] for answer in answers] == [202, 202, 404, 422, 202, 202]
    assert (answers[0]["duplicate"], answers[1]["duplicate"], answers[5]["waiting"]) == (False, True, True)
    assert await intake.status(case["case_id"]) == "pending"


class Refused(Exception):
    """What the driver raises."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def failing(sqlstate: str, bad: int) -> tuple[list[list[int]], object]:
    tried: list[list[int]] = []

    async def together(items: Sequence[int]) -> list[int | Problem]:
        tried.append(list(items))
        if bad in items:
            raise DBAPIError("INSERT", {}, Refused(sqlstate))
        return list(items)

    return tried, together


async def test_where_data_is_at_fault_the_group_is_repeated_one_by_one() -> None:
    tried, together = failing("22021", bad=2)
    fates = await each_its_own([1, 2, 3], together)  # type: ignore[arg-type]
    assert tried == [[1, 2, 3], [1], [2], [3]]
    assert fates[0] == 1
    assert fates[2] == 3
    assert isinstance(fates[1], Problem)
    assert fates[1].status == 422


async def test_where_the_database_is_away_no_line_is_blamed() -> None:
    tried, together = failing("57P01", bad=2)
    fates = await each_its_own([1, 2, 3], together)  # type: ignore[arg-type]
    assert tried == [[1, 2, 3]]
    assert [fate.status for fate in fates if isinstance(fate, Problem)] == [503, 503, 503]


async def test_a_problem_of_all_is_told_of_each() -> None:
    async def together(items: Sequence[int]) -> list[int | Problem]:
        raise conflict("x", "y")

    assert [fate.status for fate in await each_its_own([1, 2], together) if isinstance(fate, Problem)] == [409, 409]
