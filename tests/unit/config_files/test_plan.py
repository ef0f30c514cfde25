"""What a push would do, from the three sides: the files, the server, and the last pull."""

from typing import Any

from services.config_files.folder import Known
from services.config_files.kinds import RULES, Key
from services.config_files.plan import MISSING, Change, What, plan

TEAM, PERSON = Key("teams", "risk"), Key("people", "ana")
RULESET: dict[str, Any] = {
    "rules": [
        {"id": "a", "when": "true", "then": {"team": "risk"}},
        {"id": "b", "when": "false", "then": {"team": "risk"}},
    ],
    "fallback": {"team": "risk"},
}


def known(body: dict[str, Any], version: int = 1) -> Known:
    return Known(version, body)


def test_the_same_on_both_sides_is_no_change() -> None:
    assert plan({TEAM: {"label": "R"}}, {TEAM: known({"label": "R"})}, {}).steps == ()


def test_each_field_that_differs_is_named() -> None:
    (step,) = plan({TEAM: {"label": "S", "members": []}}, {TEAM: known({"label": "R"}, 4)}, {}).steps
    assert (step.what, step.version) == (What.CHANGE, 4)
    assert step.changes == (Change("label", "R", "S"), Change("members", MISSING, []))


def test_what_changed_on_the_server_since_the_pull_is_refused_and_both_are_shown() -> None:
    found = plan({TEAM: {"label": "mine"}}, {TEAM: known({"label": "theirs"}, 2)}, {TEAM: known({"label": "old"})})
    conflict = found.conflicts[0].conflict
    assert conflict is not None
    assert conflict.theirs == (Change("label", "old", "theirs"),)
    assert conflict.ours == (Change("label", "old", "mine"),)


def test_a_file_that_nobody_edited_does_not_undo_the_server() -> None:
    assert plan({TEAM: {"label": "old"}}, {TEAM: known({"label": "new"}, 2)}, {TEAM: known({"label": "old"})}).conflicts


def test_what_was_deleted_on_the_server_does_not_come_back_unasked() -> None:
    assert plan({TEAM: {"label": "old"}}, {}, {TEAM: known({"label": "old"})}).conflicts


def test_a_new_file_whose_version_nobody_pulled_is_no_conflict() -> None:
    assert not plan({TEAM: {"label": "mine"}}, {TEAM: known({"label": "theirs"})}, {}).conflicts


def test_deletions_are_asked_for_come_last_and_leave_what_is_in_use() -> None:
    server = {TEAM: known({}), PERSON: known({}), Key("calendars", "x"): known({})}
    assert not plan({}, server, {}).acting
    found = plan({}, server, {}, delete=True, uses={TEAM: ["the fallback"]})
    assert [(step.key.folder, step.what) for step in found.steps] == [
        ("teams", What.KEPT),
        ("people", What.DELETE),
        ("calendars", What.DELETE),
    ]


def test_what_somebody_made_since_the_pull_is_not_deleted() -> None:
    found = plan({}, {TEAM: known({}), PERSON: known({})}, {PERSON: known({})}, delete=True)
    assert [step.key for step in found.conflicts] == [TEAM]


def test_a_rule_that_moved_is_one_line_not_a_rewritten_list() -> None:
    moved = {**RULESET, "rules": RULESET["rules"][::-1]}
    (step,) = plan({RULES: moved}, {RULES: known(RULESET)}, {}).steps
    assert [change.path.partition(" ")[2] for change in step.changes] == ["(place)"]


def test_of_many_tests_those_that_changed_are_shown_each() -> None:
    def tests(**teams: str) -> list[dict[str, Any]]:
        given = {"channel": "email"}
        return [{"name": name, "given": given, "expect": {"team": team}} for name, team in teams.items()]

    def told(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> tuple[Change, ...]:
        (step,) = plan({RULES: RULESET | {"tests": after}}, {RULES: known(RULESET | {"tests": before})}, {}).steps
        return step.changes

    before = tests(a="risk", b="risk", c="risk")
    (added,) = tests(d="risk")
    assert told(before, tests(b="risk", d="risk", c="frontline")) == (
        Change("tests[d]", MISSING, added),
        Change("tests[c].expect.team", "risk", "frontline"),
        Change("tests[a]", before[0], MISSING),
    )
    assert told(before, [before[1], before[0], before[2]]) == (
        Change("tests (order)", ["a", "b", "c"], ["b", "a", "c"]),
    )
    assert told([], before[:1]) == (Change("tests[a]", MISSING, before[0]),)
    (step,) = plan({RULES: RULESET | {"tests": before[:1]}}, {RULES: known(RULESET)}, {}).steps
    assert step.changes == (Change("tests[a]", MISSING, before[0]),)


def test_what_is_named_comes_before_what_names_it() -> None:
    order = ["policies", "escalation-policies", "schedules", "calendars", "people"]
    found = plan({RULES: RULESET} | {Key(folder, "x"): {} for folder in order}, {}, {})
    folders = [step.key.folder for step in found.steps]
    assert folders.index("calendars") < folders.index("policies")
    assert folders.index("people") < folders.index("schedules") < folders.index("escalation-policies")
    assert folders[-1] == "ruleset"
