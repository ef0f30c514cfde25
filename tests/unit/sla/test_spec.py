"""What an admin may write, and what is refused with a sentence to act on."""

import pytest
from pydantic import ValidationError

from services.sla.model.spec import CalendarSpec, PolicySpec

WEEKLY = {"mon": [["09:00", "17:00"]]}
TARGET = {"metric": "first_reply", "within": "PT1H"}


def calendar(**fields: object) -> CalendarSpec:
    return CalendarSpec.model_validate({"time_zone": "Europe/Dublin", "weekly": WEEKLY} | fields)


def policy(**fields: object) -> PolicySpec:
    return PolicySpec.model_validate({"position": 10, "when": "true", "targets": [TARGET]} | fields)


def test_the_documented_calendar_and_policy_are_accepted() -> None:
    made = calendar(
        weekly={"mon": [["09:00", "13:00"], ["14:00", "17:30"]]},
        holidays={"country": "IE", "except": [], "extra": ["2026-12-24"]},
    )
    assert made.model_dump(mode="json", by_alias=True, exclude_unset=True)["holidays"]["extra"] == ["2026-12-24"]
    policy(
        when="case.priority == 'urgent'",
        targets=[{"metric": "first_reply", "within": "PT1H", "calendar": "dublin", "warn_at": [0.5, 0.9]}],
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"weekly": {}}, "never opens"),
        ({"weekly": {"mon": [], "tue": []}}, "never opens"),
        ({"weekly": {"monday": [["09:00", "17:00"]]}}, "Write mon, tue"),
        ({"time_zone": "Dublin"}, "IANA time zone"),
        ({"weekly": {"mon": [["09:00", "09:00"]]}}, "has no length"),
        ({"weekly": {"mon": [["24:00", "09:00"]]}}, "has no length"),
        ({"weekly": {"mon": [["09:00", "25:00"]]}}, "weekly"),
        ({"weekly": {"mon": [["09:00", "13:00"], ["12:00", "17:00"]]}}, "overlap"),
        ({"weekly": {"mon": [["22:00", "06:00"]], "tue": [["05:00", "09:00"]]}}, "overlap"),
        ({"weekly": {"sun": [["22:00", "06:00"]], "mon": [["05:00", "09:00"]]}}, "overlap"),
        ({"holidays": {"country": "ZZ"}}, "ISO 3166-1"),
        ({"holidays": {"country": "DE", "subdivision": "ZZ"}}, "Known: BB"),
        ({"holidays": {"except": ["2026-12-24"]}}, "need a `country`"),
        ({"closed": True}, "Extra inputs"),
    ],
)
def test_a_wrong_calendar_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        calendar(**fields)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"metric": "pickup", "within": "PT1H", "counts": "total"}, "never pauses"),
        ({"metric": "resolution", "within": "PT1H", "counts": "office"}, "agent_work"),
        ({"metric": "resolution", "within": "PT1H", "counts": "total", "pause_on": []}, "Keep one of them"),
        ({"metric": "unassigned", "within": "PT1H"}, "needs no policy"),
        ({"metric": "first_reply", "within": "4h"}, "ISO 8601"),
        ({"metric": "first_reply", "within": "PT0S"}, "leaves no time"),
        ({"metric": "first_reply", "within": "PT1H", "warn_at": [0.9, 0.5]}, "each later than the one before"),
        ({"metric": "first_reply", "within": "PT1H", "warn_at": [0.5, 0.5]}, "each later than the one before"),
        ({"metric": "first_reply", "within": "PT1H", "warn_at": [1]}, "between 0 and 1"),
        ({"metric": "first_reply", "within": "PT1H", "warn_at": [0]}, "between 0 and 1"),
        ({"metric": "first_reply", "within": "PT1H", "pause_on": ["pending"]}, "never pauses"),
        ({"metric": "resolution", "within": "PT1H", "pause_on": ["solved"]}, "pending or on_hold"),
    ],
)
def test_a_wrong_target_is_refused(target: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        policy(targets=[target])


def test_a_metric_is_promised_once_in_a_policy() -> None:
    with pytest.raises(ValidationError, match="promised twice"):
        policy(targets=[TARGET, TARGET])


def test_a_resolution_pauses_while_pending_unless_said_otherwise() -> None:
    def pauses(**fields: object) -> tuple[str, ...]:
        return policy(targets=[{"metric": "resolution", "within": "PT8H"} | fields]).targets[0].pauses

    assert pauses() == ("pending",)
    assert pauses(pause_on=[]) == ()
    assert pauses(pause_on=["pending", "on_hold"]) == ("on_hold", "pending")
    assert policy().targets[0].pauses == ()
