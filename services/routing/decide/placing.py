"""A case is placed by the rules: of the active version, or of the canary where it is one of its share. Pure.

Which of them depends on the case alone, so the same contact told again gives the same side.
"""

from dataclasses import replace
from datetime import datetime

from services.routing import rules
from services.routing.decide.handing import Decided, place
from services.routing.model import RULES, Assignment, Canary, CaseState, Configuration, ContactFacts, Match
from services.routing.model.trials import Enrolment
from shared.contracts.contacts import ContactReceived
from shared.contracts.envelope import Because
from shared.contracts.words import WATCHER, Priority

_TO_THE_WATCHER = Because(text="A contact of the watcher goes to the watcher's own team, whatever the rules say")


def by_rules(state: CaseState, contact: ContactReceived, facts: ContactFacts, now: datetime) -> Decided:
    configuration = state.configuration
    # What is imported, or the watcher's own, is no live case: the active version places it, and no trial counts it.
    aside = contact.history or contact.source == WATCHER
    running = configuration.canary if not aside else None
    canary = running if running and running.takes(state.case_id) else None
    ruleset = canary.ruleset if canary else configuration.ruleset
    found = rules.match(ruleset, facts)
    if contact.source == WATCHER:  # matched all the same: what hangs for others hangs for the watcher
        found = Match(None, WATCHER, Priority.LOW, (), _TO_THE_WATCHER)
    # An imported contact is placed when it came, so that its clocks are computed as if it had been routed then.
    at = min(contact.occurred_at, now) if contact.history else now
    made = Assignment(
        found.team, found.priority, found.tags, ruleset.version, found.rule, _because(found, canary), at, RULES,
        found.skills, found.language,
    )  # fmt: skip
    enrolled = () if aside else _enrolled(configuration, canary, found.rule is None, now)
    return place(replace(state, enrolled=enrolled) if enrolled else state, made, history=contact.history)


def _because(found: Match, canary: Canary | None) -> Because:
    if canary is None:
        return found.because
    text = f"{found.because.text} (canary {canary.trial}: ruleset {canary.ruleset.version} has {canary.share:.1%})"
    return Because(text=text, facts={**found.because.facts, "canary": canary.trial})


def _enrolled(
    configuration: Configuration, canary: Canary | None, fallback: bool, now: datetime
) -> tuple[Enrolment, ...]:
    """The trials that learn from this case: a canary from either side, a shadow from what the active version placed."""
    made = []
    if configuration.canary is not None:
        made.append(Enrolment(configuration.canary.trial, canary is not None, fallback, now))
    if configuration.shadow is not None and canary is None:
        made.append(Enrolment(configuration.shadow, False, fallback, now))
    return tuple(made)
