"""What happens on a case that somebody has: status, priority and tags go along with it, and rules may hand it off.

One event moves a case once at most, and a hand-off is no event that a rule could see: so rules never trigger rules.
Between events, a case that came right back ``PING_PONG`` times is moved by people only. Pure.
"""

from dataclasses import replace
from datetime import datetime

from services.routing.decide.handing import Decided, hand_off, nothing, taken, waits
from services.routing.model import MAX_HAND_OFFS, PING_PONG, Assignment, CaseState
from services.routing.model.commands import HandOff, LinkIssue
from services.routing.rules.hand_off import Happened, first
from shared.contracts.contacts import CaseActivity
from shared.contracts.decision import Decision
from shared.contracts.envelope import Because
from shared.contracts.words import ActivityKind, Priority, Status

WAITS_FOR_THE_CUSTOMER = (Status.PENDING, Status.SOLVED, Status.CLOSED)


def happened(state: CaseState, activity: CaseActivity, now: datetime) -> Decided:
    if state.assignment is None:
        return nothing(state, "Nobody has the case yet")
    before = state.assignment
    changed = _changed(state, before, activity, now)
    if activity.history or changed.events:
        return changed
    return _by_rule(changed, Happened.of(activity, before.tags), now)


def _changed(state: CaseState, standing: Assignment, activity: CaseActivity, now: datetime) -> Decided:
    """What an activity itself changes. Priority and tags that people set go along when the case is handed off."""
    match activity.kind:
        case ActivityKind.PRIORITY_CHANGED if activity.priority is not None:
            after = replace(standing, priority=Priority(activity.priority))
            return Decision(replace(state, assignment=after), Because(text=f"Its priority is {activity.priority} now"))
        case ActivityKind.TAGS_CHANGED if activity.tags is not None:
            after = replace(standing, tags=activity.tags)
            return Decision(replace(state, assignment=after), Because(text="Its tags were changed"))
        case ActivityKind.STATUS_CHANGED if activity.status is not None:
            return stands(state, activity.status, f"It is {activity.status} now")
        case ActivityKind.CUSTOMER_REPLIED if activity.public and not activity.automated:
            return wrote_again(state)
        case ActivityKind.PICKED_UP if _takes(state, standing, activity.actor):
            because = Because(text=f"{activity.actor} picked it up", facts={"by": activity.actor})
            return taken(state, standing, activity.actor, because, now, activity.actor or "")
    return nothing(state, f"{activity.kind} does not concern who has the case")


def _takes(state: CaseState, standing: Assignment, actor: str | None) -> bool:
    team = state.configuration.teams.get(standing.team)
    vacant = standing.person is None and state.step_count < MAX_HAND_OFFS
    return actor is not None and vacant and team is not None and team.has(actor)


def wrote_again(state: CaseState) -> Decided:
    standing = state.assignment
    if standing is None or standing.status not in WAITS_FOR_THE_CUSTOMER:
        return nothing(state, f"{standing.team} has the case already" if standing else "Nobody has the case yet")
    return stands(state, Status.OPEN, "The customer wrote again")


def stands(state: CaseState, status: Status, text: str) -> Decided:
    """The case has a status. What has to be worked on again goes on with whom it had, else it waits for somebody."""
    standing = state.assignment
    if standing is None:
        return nothing(state, "Nobody has the case yet")
    was_active, after = standing.active, replace(standing, status=status)
    keeps_waiting = waits(state, after) and (standing.waiting or not was_active)
    return Decision(replace(state, assignment=replace(after, waiting=keeps_waiting)), Because(text=text))


def merged(state: CaseState, text: str) -> Decided:
    return stands(state, Status.CLOSED, text) if state.assignment else nothing(state, text)


def linked(state: CaseState, link: LinkIssue, now: datetime) -> Decided:
    """An issue was linked or changed its status; rules may hand the case off, or back."""
    text = f"{link.issue.by} linked {link.issue.url}, which is {link.issue.status}"
    noted = Decision(replace(state, issues=(*state.issues, link.issue)), Because(text=text))
    if state.assignment is None:
        return noted
    return _by_rule(noted, Happened.linked(link.issue), now)


def _by_rule(so_far: Decided, what: Happened, now: datetime) -> Decided:
    """What the hand-off rules make of what happened, on top of what it changed itself."""
    state = so_far.state
    standing = state.assignment
    if standing is None or standing.status in (Status.SOLVED, Status.CLOSED):
        return so_far
    ruleset = state.configuration.placed_by(standing.ruleset_version, state.case_id)
    if not ruleset.hand_off:
        return so_far
    rule = first(ruleset, what, standing)
    if rule is None:
        return so_far
    team = standing.from_team if rule.then.back else rule.then.team
    if team is None or team == standing.team or team not in state.configuration.teams:
        return so_far
    if standing.returns >= PING_PONG or state.step_count >= MAX_HAND_OFFS:
        text = f"Rule {rule.id} would hand it to {team}, but it came back {standing.returns} times"
        return replace(so_far, because=Because(text=text, facts={"hand_off_rule": rule.id}))
    wanted = HandOff(state.case_id, team, f"rule {rule.id}", rule.then.reason)
    return hand_off(state, standing, wanted, now, rule.id)
