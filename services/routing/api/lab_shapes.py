"""What goes in and out of the routes of the rule lab."""

from collections.abc import Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from services.routing.api.shapes import PlacementAnswer, why_not
from services.routing.lab import Evaluation, Tested
from services.routing.lab.backtest import Report
from services.routing.replay import MAX_CONTACTS, Choice
from services.routing.spec import Given, RulesetSpec, When
from shared.contracts.spec import Instant, Number, Spec, Whole
from shared.contracts.words import Channel
from shared.http import Answer, Strict

DEFAULT_CONTACTS = 100_000
CaseNamed = Annotated[str, StringConstraints(min_length=1, max_length=60)]


class EvaluateBody(Given, Spec):
    """A contact as one would post it, or the ``case_id`` (or number) of one that came. ``at``: as if it came then."""

    case_id: CaseNamed | None = None
    at: Instant | None = None
    channel: Channel | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        if self.case_id is None and self.channel is None:
            raise ValueError("give a contact with its channel (email, phone, chat, web or api), or a case_id")
        if self.case_id is not None and self.model_fields_set - {"case_id", "at", "ruleset"}:
            raise ValueError("give a case_id or a contact, not both; `at` goes with either")
        return self


class DraftEvaluateBody(EvaluateBody):
    """With the ruleset to try, which is stored nowhere."""

    ruleset: RulesetSpec


class DraftBody(Strict):
    ruleset: RulesetSpec


class BacktestBody(Strict):
    """``against``: the version to compare with, the active one where left out.

    Which contacts: the newest ``limit`` from ``since`` until ``until``, a ``sample`` (a share) of them, and of those
    where a condition holds, as in a rule.
    """

    against: Annotated[Whole, Field(ge=1, lt=2**31)] | None = None
    since: Instant | None = None
    until: Instant | None = None
    where: When | None = None
    sample: Annotated[Number, Field(gt=0, le=1)] = 1.0
    limit: Annotated[Whole, Field(ge=1, le=MAX_CONTACTS)] = DEFAULT_CONTACTS

    def choice(self) -> Choice:
        return Choice(since=self.since, until=self.until, where=self.where, sample=self.sample, limit=self.limit)


class DraftBacktestBody(BacktestBody):
    ruleset: RulesetSpec


class BacktestAnswer(Report, Answer):
    """What ``ruleset_version`` (null: a draft that is stored nowhere) would have done to stored cases, newest first,
    compared with ``against``. ``complete`` is false where time ran out: ``cases`` were compared."""

    ruleset_version: int | None
    against: int
    complete: bool


class TestAnswer(Answer):
    """``wrong`` says what differs; empty where it passed."""

    __test__ = False

    name: str
    passed: bool
    wrong: list[str]
    team: str
    priority: str
    tags: list[str]
    rule: str | None


class TestsAnswer(Answer):
    __test__ = False

    ruleset_version: int | None
    passed: bool
    failed: int
    tests: list[TestAnswer]

    @classmethod
    def of(cls, version: int | None, found: Sequence[Tested]) -> Self:
        made = [
            TestAnswer(
                name=each.name, passed=not each.wrong, wrong=list(each.wrong), team=each.match.team,
                priority=each.match.priority, tags=list(each.match.tags), rule=each.match.rule,
            )
            for each in found
        ]  # fmt: skip
        failed = sum(not each.passed for each in made)
        return cls(ruleset_version=version, passed=not failed, failed=failed, tests=made)


def evaluation(case_id: UUID | None, version: int, found: Evaluation) -> PlacementAnswer:
    return PlacementAnswer(
        case_id=case_id, team=found.match.team, priority=found.match.priority, tags=found.match.tags,
        skills=found.match.skills, language=found.match.language,
        ruleset_version=version, rule=found.match.rule, because=found.match.because, assigned_at=None,
        why_not=why_not(found.earlier), why_not_more=found.earlier.more,
    )  # fmt: skip
