"""Scene 9: kill -9 while work is in flight, start again, send everything again, and count."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from services.demo.client import Lost, together
from services.demo.stage import Stage

NOTES = 120  # what is in flight when the server dies
KILL_AFTER = 40  # of them confirmed


@dataclass(slots=True)
class Wave:
    """Notes that agents write while the server dies: which were confirmed before, and which answers were lost."""

    notes: list[dict[str, Any]]
    confirmed: set[str] = field(default_factory=set)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lost(self) -> int:
        return len(self.notes) - len(self.confirmed)


@dataclass(frozen=True, slots=True)
class Found:
    """What is there, by external id: how many times each."""

    contacts: Counter[str]
    notes: Counter[str]
    cases: int


async def killed(stage: Stage) -> None:
    screen = stage.screen
    screen.scene(9, "kill -9")
    wave = Wave(_notes(stage))
    screen.say(f"Agents write {len(wave.notes)} notes. In the middle of it, the server is killed:")
    async with asyncio.TaskGroup() as group:
        killing = group.create_task(_kill(stage, wave))
        with screen.bar("POST /v1/activities", len(wave.notes)) as step:
            await together(_write(stage, wave, note, step) for note in wave.notes)
    screen.say(f"kill -9 {killing.result()}", "bold red")
    screen.say(f"{len(wave.confirmed)} notes were confirmed; {wave.lost} got no answer.")
    with screen.busy("starting it again on the same folder"):
        seconds = await stage.server.start()
    screen.say(f"up again in {seconds:.1f} s. Who gets no answer sends again, so everything is sent again:")
    known_notes, known = await _send_all_again(stage, wave)
    found = await _count(stage)
    _judge(stage, wave, found, known_notes, known)


def _notes(stage: Stage) -> list[dict[str, Any]]:
    return [
        {
            "kind": "note_added",
            "source": each.body["source"],
            "thread": each.body["thread"],
            "external_id": f"{each.body['thread']}-note",
            "actor": "ben",
            "text": "Looked into it; payments will know more.",
        }
        for each in stage.morning.openers[:NOTES]
    ]


async def _kill(stage: Stage, wave: Wave) -> int:
    await wave.enough.wait()
    return await stage.server.kill()


async def _write(stage: Stage, wave: Wave, note: dict[str, Any], step: Callable[[], None]) -> None:
    try:
        await stage.api.post("/v1/activities", note)
    except Lost:
        return  # nobody knows whether it was accepted: that is the point
    wave.confirmed.add(note["external_id"])
    step()
    if len(wave.confirmed) >= min(KILL_AFTER, len(wave.notes) // 2):
        wave.enough.set()


async def _send_all_again(stage: Stage, wave: Wave) -> tuple[set[str], int]:
    """The notes, and how many of the contacts, that were recognized as known."""
    notes: set[str] = set()
    contacts = 0

    async def note(body: dict[str, Any]) -> None:
        if (await stage.api.post("/v1/activities", body)).get("duplicate"):
            notes.add(body["external_id"])
        step()

    async def contact(body: dict[str, Any]) -> None:
        nonlocal contacts
        answer = await stage.api.post("/v1/contacts", body)
        first = stage.accepted[body["external_id"]]
        contacts += bool(answer.get("duplicate")) and answer["contact_id"] == first["contact_id"]
        step()

    bodies = [each.body for each in stage.morning.all] + [stage.hero.contact]
    with stage.screen.bar("sending all of it again", len(bodies) + len(wave.notes)) as step:
        await together(note(each) for each in wave.notes)
        await together(contact(each) for each in bodies)
    return notes, contacts


async def _count(stage: Stage) -> Found:
    """Everything that the API shows, case by case."""
    cases = [each["id"] for each in await stage.api.every("/v1/cases")]
    contacts: Counter[str] = Counter()
    notes: Counter[str] = Counter()

    async def read(case_id: str) -> None:
        case = await stage.api.get(f"/v1/cases/{case_id}")
        contacts.update(each["external_id"] for each in case["contacts"])
        notes.update(each["external_id"] for each in case["activities"] if each["kind"] == "note_added")
        step()

    with stage.screen.bar("counting through the API", len(cases)) as step:
        await together(read(each) for each in cases)
    return Found(contacts, notes, len(cases))


def _judge(stage: Stage, wave: Wave, found: Found, known_notes: set[str], known: int) -> None:
    screen, total = stage.screen, len(stage.accepted)
    here, twice = tally(found.contacts, stage.accepted)
    screen.claim(
        here == total == known and twice == 0 and found.cases == len(stage.cases),
        f"{here} of {total} contacts here, {twice} doubled; all {known} recognized when sent again",
        f"{here} of {total} contacts are here, {twice} doubled, {known} were recognized; {found.cases} cases,"
        f" {len(stage.cases)} were due",
    )
    here, twice = tally(found.notes, [note["external_id"] for note in wave.notes])
    screen.claim(
        here == len(wave.notes) and twice == 0 and wave.confirmed <= known_notes,
        f"{here} of {len(wave.notes)} notes, {twice} doubled: {len(wave.confirmed)} confirmed before the kill,"
        f" {len(known_notes - wave.confirmed)} kept whose answer was lost, the rest new",
        f"{here} of {len(wave.notes)} notes are here, {twice} doubled;"
        f" {len(wave.confirmed - known_notes)} were confirmed and then unknown",
    )


def tally(found: Counter[str], wanted: Iterable[str]) -> tuple[int, int]:
    """How many of those wanted are there, and how many of all are there more than once, or unasked."""
    asked = set(wanted)
    doubled = sum(times - 1 for times in found.values()) + sum(1 for each in found if each not in asked)
    return len(asked & found.keys()), doubled
