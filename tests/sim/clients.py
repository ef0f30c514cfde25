"""What people and systems ask of Tocsin, as small symbolic choices that mean the same in a shortened story."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from tests.sim import template
from tests.sim.fronts import Answer
from tests.sim.model import Posted, Violation
from tests.sim.world import World

THREADS = (12, 3)  # conversations under way at the same time: many seeds have few, where all meets
KINDS = ("payments", "cards", "payments", "other")
FINE = (404, 409, 412, 422, 429)  # refusals that change nothing


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, ready to be made."""

    service: str
    name: str
    method: str
    path: str
    body: Any
    told: Callable[[Answer], None]
    key: str | None = None


def choose(chance: random.Random, world: World, leaning: str = "", what: str = "") -> tuple[str, ...]:
    """What somebody asks next, and its symbolic arguments; more contacts, or more answers, where leaning so."""
    newest = world.model.newest()
    few = world.seed % 2
    thread = str(max(1, newest - int(chance.triangular(0, THREADS[few], 0))))
    if leaning == "answers" and chance.random() < 0.7:
        thread = str(chance.choice(world.model.unanswered() or [thread]))
    new = str(newest + 1) if chance.random() < (0.5, 0.3)[few] else thread
    thread = new if chance.random() < 0.05 else thread
    late, answers = str(chance.choice([0, 0, 0, 0, 20, 90, 600])), 3 if leaning == "answers" else 1
    number = str(chance.randrange(1_000))
    if what == "activity":
        return (what, thread, late, number, "agent_replied")
    return chance.choices(
        [
            ("contact", new, late, number),
            ("activity", thread, late, number, "agent_replied"),
            ("activity", thread, late, number, "customer_replied"),
            ("activity", thread, late, number, chance.choice(["note_added", "picked_up", "tags_changed"])),
            ("activity", thread, late, number, "status_changed"),
            ("activity", thread, late, number, "priority_changed"),
            ("again", number),
            ("page", thread, number, chance.choice(["acknowledge", "resolve", "snooze", "hand-over", "hand-over"])),
            ("hand_off", thread, number),
            ("merge", thread, number),
            ("erase", number),
            ("configure", chance.choice(list(CONFIGURED)), number),
        ],
        weights=[
            60 if leaning == "contacts" else 26,
            10 * answers**2,
            6,
            4 * answers,
            4,
            5,
            7,
            12 * answers,
            8,
            2,
            1,
            7,
        ],
    )[0]


def asked(world: World, what: tuple[str, ...]) -> Asked | None:
    """The request that the choice means now; None where there is nothing that it could mean."""
    return _ASKS[what[0]](world, *what[1:])


# Contacts and activities: what is told until it is answered


def _contact(world: World, thread: str, late: str, number: str) -> Asked:
    name, kind = f"c{thread}-{world.label}", KINDS[int(thread) % len(KINDS)]
    body = {
        "channel": "email", "source": "desk", "external_id": name, "thread": f"t{thread}", "tags": [kind],
        "subject": f"Subject of {name}", "body": f"Words of {name}", "occurred_at": _at(world, late),
        "customer": {"id": f"cus{int(thread) % 9}", "email": f"cus{int(thread) % 9}@example.org"},
    }  # fmt: skip
    return _post(world, name, Posted("/v1/contacts", body, int(thread), _key(name, number)))


def _activity(world: World, thread: str, late: str, number: str, kind: str) -> Asked:
    name, chosen = f"a{thread}-{world.label}", int(number)
    body: dict[str, Any] = {"kind": kind, "external_id": name, "occurred_at": _at(world, late), "actor": "ana"}
    case_id = _case(world, thread) if chosen % 2 else None
    body |= {"case_id": str(case_id)} if case_id else {"source": "desk", "thread": f"t{thread}"}
    if kind == "status_changed":
        body["status"] = ("pending", "open", "on_hold", "solved")[chosen % 4]
    elif kind == "priority_changed":
        body["priority"] = ("urgent", "normal")[chosen % 2]
    elif kind == "tags_changed":
        body["tags"] = [f"tag{chosen % 5}"]
    return _post(world, name, Posted("/v1/activities", body, int(thread), _key(name, number)))


def _again(world: World, number: str) -> Asked | None:
    """The same once more; first of all what nobody answered."""
    known = [name for name, posted in world.model.posted.items() if posted.answer is None]
    known = known or list(world.model.posted)[-20:]
    if not known:
        return None
    name = known[int(number) % len(known)]
    posted = world.model.posted[name]
    return None if posted.key is not None and world.under_way(name) else _post(world, name, posted)


def repeat(world: World) -> Asked | None:
    """What nobody answered yet."""
    name = next((name for name, posted in world.model.posted.items() if posted.answer is None), None)
    return None if name is None else _post(world, name, world.model.posted[name])


def _post(world: World, name: str, posted: Posted) -> Asked:
    world.model.posted.setdefault(name, posted)

    def told(answer: Answer) -> None:
        world.model.answered(name, answer.status, answer.body)

    return Asked("intake", name, "POST", posted.path, posted.body, told, posted.key)


def _at(world: World, late: str) -> str:
    return (world.clock.now() - timedelta(seconds=int(late))).isoformat()


def _key(name: str, number: str) -> str | None:
    return f"key-{name}" if int(number) % 5 == 0 else None


# What people do with cases and pages


def _case(world: World, thread: str) -> UUID | None:
    found = world.model.of_thread.get(int(thread))
    return None if found is None else world.model.final(found[0])


def _page(world: World, thread: str, number: str, act: str) -> Asked | None:
    case_id = _case(world, thread)
    case = world.model.cases.get(case_id) if case_id else None
    page = case.page if case else None
    if page is None:
        standing = [each.page for each in world.model.cases.values() if each.page is not None]
        page = standing[int(number) % len(standing)] if standing else None
    if page is None:
        return None
    body: dict[str, Any] = {"by": "ana"}
    if act == "snooze":
        body["until"] = (world.clock.now() + timedelta(minutes=7)).isoformat()
    elif act == "hand-over":
        body |= {"team": template.TEAMS[int(number) % 3], "reason": f"asked {world.label}"}
    return _simple(world, "notify", "POST", f"/v1/pages/{page}/{act}", body)


def _hand_off(world: World, thread: str, number: str) -> Asked | None:
    case_id = _case(world, thread)
    body = {"team": template.TEAMS[int(number) % 3], "reason": f"given {world.label}"}
    return case_id and _simple(world, "routing", "POST", f"/v1/cases/{case_id}/assignment", body)


def _merge(world: World, thread: str, number: str) -> Asked | None:
    known = list(world.model.of_thread)[-THREADS[0] :]
    source, target = _case(world, thread), _case(world, str(known[int(number) % len(known)])) if known else None
    if source is None or target is None or source == target:
        return None
    return _simple(world, "intake", "POST", f"/v1/cases/{source}/merge", {"into": str(target)})


def _erase(world: World, number: str) -> Asked:
    return _simple(world, "intake", "DELETE", f"/v1/customers/cus{int(number) % 9}", None)


CONFIGURED: dict[str, tuple[str, str, Callable[[int], Any]]] = {
    "urgent": ("sla", "/v1/policies/urgent", template.urgent),
    "cards": ("sla", "/v1/policies/cards", template.cards),
    "calendar": ("sla", "/v1/calendars/dublin", template.calendar),
    "escalation": ("notify", "/v1/escalation-policies/payments", template.escalation),
    "team": ("routing", "/v1/teams/cards", partial(template.team, "cards")),
    "rules": ("routing", "/v1/rulesets", template.ruleset),
}


def _configure(world: World, which: str, number: str) -> Asked:
    service, path, body = CONFIGURED[which]
    if which == "rules" and world.model.draft is not None:
        path, world.model.draft = f"/v1/rulesets/{world.model.draft}/activate", None
        return _simple(world, service, "POST", path, None)
    if which == "rules":

        def told(answer: Answer) -> None:
            world.model.draft = answer.body["version"] if answer.status == 201 else None

        return Asked(service, which, "POST", path, body(int(number)), told)
    return _simple(world, service, "PUT", path, body(int(number)))


def _simple(world: World, service: str, method: str, path: str, body: Any) -> Asked:
    def told(answer: Answer) -> None:
        if answer.status >= 500 and answer.status != 503:
            raise Violation(f"answers: {method} {path} is answered {answer.status} {answer.body}")
        if answer.status >= 400 and answer.status not in (*FINE, 503):
            raise Violation(f"answers: {method} {path} is answered {answer.status} {answer.body}")
        if service != "intake":
            world.wake(service)

    return Asked(service, path, method, path, body, told)


_ASKS: dict[str, Callable[..., Asked | None]] = {
    "contact": _contact,
    "activity": _activity,
    "again": _again,
    "page": _page,
    "hand_off": _hand_off,
    "merge": _merge,
    "erase": _erase,
    "configure": _configure,
}
