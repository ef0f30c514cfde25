"""The routes of sla as admins and specialists use them."""

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from services.sla.decide import policies
from services.sla.store import SlaStore
from services.sla.store.audit import audited
from services.sla.store.effective import LOOK_EVERY_S, TakingEffect
from tests.unit.sla.conftest import JSON, Sla
from tests.unit.sla.stories import CASE, DUBLIN, OTHER, START, Story, m, policy, target

OFFICE: JSON = {
    "time_zone": "Europe/Dublin",
    "weekly": {day: [["09:00", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "holidays": {"country": "IE"},
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def opened(sla: Sla) -> None:
    story = Story()
    story.contact(0)
    story.assigned("payments", at=0.01)
    await sla.take(story.events)


class TestConfiguring:
    async def test_a_calendar_is_given_back_as_it_was_written(self, sla: Sla) -> None:
        made = await sla.put(
            "/v1/calendars/dublin", {**OFFICE, "holidays": {"country": "IE", "except": ["2026-12-24"]}}
        )
        assert made["holidays"] == {"country": "IE", "except": ["2026-12-24"]}
        assert made["weekly"] == OFFICE["weekly"]
        again = await sla.get("/v1/calendars/dublin")
        assert again == made
        await sla.put("/v1/calendars/dublin", again, 200)

    async def test_a_first_start_has_a_calendar_and_a_last_policy(self, sla: Sla) -> None:
        assert (await sla.get("/v1/calendars/24x7"))["time_zone"] == "UTC"
        last = await sla.get("/v1/policies/default")
        assert (last["position"], last["targets"]) == (1_000_000, [{"metric": "first_reply", "within": "PT4H"}])

    @pytest.mark.parametrize(
        ("body", "status", "says"),
        [
            (policy(target("first_reply", "PT1H", calendar="nowhere")), 422, "PUT /v1/calendars/nowhere first"),
            (policy(target("first_reply", "P1D", calendar="office")), 422, "a business day has no fixed length"),
            (policy(target("first_reply", "PT9000H", calendar="office")), 422, "opens in four years"),
            (policy(target("first_reply", "PT1H"), when="case.prio == 'urgent'"), 422, "Known names: case.priority"),
            (policy(target("first_reply", "PT1H"), when="case.priority"), 422, "not true or false"),
            (policy(target("first_reply", "PT1H"), when="case.priority == "), 422, "line 1"),
            (policy(target("first_reply", "PT1H"), position=1_000_000), 409, "Policy default is at position 1000000"),
            ({"position": 1, "when": "true", "targets": [], "extra": 1}, 422, "extra"),
        ],
    )
    async def test_a_policy_that_cannot_work_is_refused_with_what_to_do(
        self, sla: Sla, body: JSON, status: int, says: str
    ) -> None:
        await sla.put("/v1/calendars/office", OFFICE)
        problem = await sla.put("/v1/policies/p", body, status)
        assert says in str(problem)
        await sla.get("/v1/policies/p", 404)

    async def test_a_day_is_fine_where_the_calendar_never_closes(self, sla: Sla) -> None:
        await sla.put("/v1/policies/p", policy(target("resolution", "P5D")))

    async def test_a_policy_may_keep_its_own_position(self, sla: Sla) -> None:
        await sla.put("/v1/policies/p", policy(target("first_reply", "PT1H")))
        await sla.put("/v1/policies/p", policy(target("first_reply", "PT2H")), 200)

    async def test_a_calendar_in_use_is_not_deleted_nor_made_too_short(self, sla: Sla) -> None:
        await sla.put("/v1/calendars/office", OFFICE)
        await sla.put("/v1/policies/p", policy(target("resolution", "PT5000H", calendar="office")))
        answer = await sla.client.delete("/v1/calendars/office")
        assert (answer.status_code, answer.json()["uses"]) == (409, ["policy p"])
        short = {**OFFICE, "weekly": {"mon": [["09:00", "10:00"]]}}
        assert "policy p, resolution" in str(await sla.put("/v1/calendars/office", short, 422))

    async def test_the_calendar_that_always_exists_stays_what_it_says(self, sla: Sla) -> None:
        assert "open around the clock" in str(await sla.put("/v1/calendars/24x7", OFFICE, 422))
        assert (await sla.client.delete("/v1/calendars/24x7")).status_code == 409

    async def test_a_calendar_that_never_opens_is_refused(self, sla: Sla) -> None:
        assert "never opens" in str(await sla.put("/v1/calendars/c", {**OFFICE, "weekly": {"mon": []}}, 422))


class TestClocks:
    async def test_the_clocks_of_a_case(self, sla: Sla) -> None:
        await opened(sla)
        listed = await sla.get(f"/v1/cases/{CASE}/clocks")
        first = next(each for each in listed["items"] if each["metric"] == "first_reply")
        assert first["id"] == (await sla.get(f"/v1/clocks/{first['id']}"))["id"]
        assert {k: first[k] for k in ("state", "instance", "policy", "within", "team", "met_at")} == {
            "state": "running",
            "instance": 1,
            "policy": "default",
            "within": "PT4H",
            "team": "payments",
            "met_at": None,
        }
        assert at(first["due_at"]) == m(240)
        assert first["because"]["text"] == (
            "The first reply is due Tue 03 Nov 14:00 UTC: 4 hours from Tue 03 Nov 10:00 by policy default."
        )

    async def test_a_case_is_named_by_its_number_too(self, sla: Sla) -> None:
        await opened(sla)
        opening = (await sla.loaded()).opening
        assert opening
        listed = await sla.get(f"/v1/cases/{opening.number}/clocks")
        assert listed == await sla.get(f"/v1/cases/{CASE}/clocks")
        assert listed["items"]
        assert (await sla.get("/v1/cases/C-999/clocks", 404))["type"].endswith("not-yet")

    async def test_a_case_of_which_nothing_arrived_says_not_yet(self, sla: Sla) -> None:
        problem = await sla.get(f"/v1/cases/{OTHER}/clocks", 404)
        assert problem["type"].endswith("not-yet")
        await sla.get(f"/v1/clocks/{OTHER}", 404)
        await sla.get(f"/v1/clocks/{OTHER}/derivation", 404)
        await sla.get("/v1/clocks/nonsense", 422)

    async def test_a_case_whose_opening_contact_is_still_on_its_way_has_no_clocks(self, sla: Sla) -> None:
        story = Story()
        story.assigned(at=0)
        await sla.take(story.events)
        assert (await sla.get(f"/v1/cases/{CASE}/clocks"))["items"] == []

    async def many(self, sla: Sla) -> None:
        story = Story()
        await sla.put(
            "/v1/policies/p",
            policy(target("first_reply", "PT1H"), target("next_reply", "PT2H"), target("resolution", "PT1H")),
        )
        story.contact(0.1)
        story.assigned("payments", at=0.2)
        for n in range(4):
            story.reply(10 + n * 10)
            story.contact(15 + n * 10)
        story.status("pending", 60)
        sla.clock.set(m(61))
        await sla.take(story.events)

    async def test_every_clock_is_listed_once_newest_first_page_by_page(self, sla: Sla) -> None:
        await self.many(sla)
        seen: list[JSON] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await sla.get("/v1/clocks", limit=2, **cursor)
            seen += page["items"]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert len({each["id"] for each in seen}) == len(seen) == len((await sla.loaded()).clocks)
        assert [each["started_at"] for each in seen] == sorted((e["started_at"] for e in seen), reverse=True)

    async def test_what_is_at_risk_comes_with_the_least_time_left_first(self, sla: Sla) -> None:
        await self.many(sla)
        open_ = await sla.get("/v1/clocks", order="due", limit=1)
        assert [each["metric"] for each in open_["items"]] == ["next_reply"]
        assert (await sla.get("/v1/clocks", state="paused"))["items"][0]["metric"] == "resolution"
        assert (await sla.get("/v1/clocks", order="due", due_before=m(1).isoformat()))["items"] == []
        assert (await sla.get("/v1/clocks", team="nobody"))["items"] == []
        assert {each["state"] for each in (await sla.get("/v1/clocks", team="payments", state="met"))["items"]} == {
            "met"
        }

    async def test_a_cursor_of_another_list_is_refused(self, sla: Sla) -> None:
        await self.many(sla)
        following = (await sla.get("/v1/clocks", limit=1))["next"]
        await sla.get("/v1/clocks", 422, cursor=following, order="due")
        await sla.get("/v1/clocks", 422, cursor="garbage")
        await sla.get("/v1/clocks", 422, state="late")


class TestDerivation:
    async def derived(self, sla: Sla, story: Story, metric: str = "resolution") -> JSON:
        await sla.put("/v1/calendars/office", OFFICE)
        await sla.put("/v1/policies/p", policy(target(metric, "PT4H", calendar="office")))
        sla.clock.set(max(event.recorded_at for event in story.events) + timedelta(seconds=1))
        # As if all of it had come in after the edits.
        await sla.take(story.events)
        clock = next(each for each in (await sla.loaded()).clocks if each.metric == metric)
        return await sla.get(f"/v1/clocks/{clock.id}/derivation")

    async def test_a_deadline_over_a_holiday_is_told_day_by_day(self, sla: Sla) -> None:
        story = Story()
        friday = (at("2026-10-23T16:20:00+01:00") - START) / timedelta(minutes=1)
        story.contact(friday, known=1)
        story.assigned(at=2)
        derived = await self.derived(sla, story)
        assert derived["sentence"] == (
            "4 business hours from Fri 16:20 Dublin: 1 h 10 on Friday, "
            "Monday is a holiday (October Bank Holiday), 2 h 50 on Tuesday → Tue 11:50"
        )
        assert at(derived["due_at"]) == at("2026-10-27T11:50:00+00:00")
        assert derived["holidays"] == [{"date": "2026-10-26", "name": "October Bank Holiday"}]
        assert derived["agrees"] is True
        lengths = [at(each["until"]) - at(each["from"]) for each in derived["counted"]]
        assert sum(lengths, timedelta(0)) == timedelta(hours=4)

    async def test_pauses_are_told(self, sla: Sla) -> None:
        story = Story()
        story.contact(0)
        story.assigned(at=0.1)
        story.status("pending", 60)
        story.status("open", 120)
        derived = await self.derived(sla, story)
        assert derived["sentence"].endswith(": 4 h on Tuesday, 1 h paused → Tue 15:00")
        assert [(at(p["from"]), at(p["until"])) for p in derived["pauses"]] == [(m(60), m(120))]

    async def test_it_stays_true_to_the_calendar_that_it_was_promised_with(self, sla: Sla) -> None:
        story = Story()
        story.contact(0)
        story.assigned(at=0.1)
        before = await self.derived(sla, story, "first_reply")
        story.reply(30)
        sla.clock.set(m(40))
        await sla.take(story.events[-1:])
        await sla.put("/v1/calendars/office", {**OFFICE, "weekly": {"sun": [["09:00", "17:30"]]}}, 200)
        await sla.replan()
        after = await sla.get(f"/v1/clocks/{before['clock_id']}/derivation")
        assert after["today"]["calendar_version"] == 2
        assert after["today"]["due_at"] != after["due_at"] == after["first"]["due_at"]
        assert {**after, "today": None} == {**before, "today": None}, "what was promised stays, and so does its count"

    async def test_the_clock_of_an_assignment_is_derived_too(self, sla: Sla) -> None:
        await opened(sla)
        unassigned = next(each for each in (await sla.loaded()).clocks if each.metric == "unassigned")
        derived = await sla.get(f"/v1/clocks/{unassigned.id}/derivation")
        assert ": around the clock → Tue 10:01" in derived["sentence"]
        assert derived["agrees"] is True


class TestPreview:
    async def test_it_says_which_policy_matches_why_others_do_not_and_when_all_is_due(self, sla: Sla) -> None:
        await sla.put("/v1/calendars/dublin", DUBLIN)
        await sla.put("/v1/policies/german", policy(target("first_reply", "PT1H"), when="contact.language == 'de'"))
        vip = policy(
            target("first_reply", "PT4H", calendar="dublin", warn_at=[0.5]), when="'vip' in case.tags", position=20
        )
        await sla.put("/v1/policies/vip", vip)
        body = {"case": {"priority": "urgent", "tags": ["vip"]}, "contact": {"customer": {"tier": "gold"}},
                "at": "2026-11-06T16:00:00Z"}  # fmt: skip
        answer = await sla.client.post("/v1/policies/preview", json=body)
        found = answer.json()
        assert (answer.status_code, found["policy"]) == (200, "vip")
        assert [(t["policy"], t["matched"], t["reason"]) for t in found["tried"]] == [
            ("german", False, "contact.language is unknown"),
            ("vip", True, None),
        ]
        promise = found["promises"][0]
        assert at(promise["due_at"]) == at("2026-11-09T12:00:00Z")
        assert [at(each) for each in promise["warnings_at"]] == [at("2026-11-09T10:00:00Z")]
        assert "1 h on Friday, 3 h on Monday → Mon 12:00" in promise["derivation"]

    async def test_a_case_that_no_policy_is_for_is_promised_nothing(self, sla: Sla) -> None:
        await sla.client.delete("/v1/policies/default")
        found = (await sla.client.post("/v1/policies/preview", json={})).json()
        assert (found["policy"], found["promises"], found["tried"]) == (None, [], [])

    @pytest.mark.parametrize(
        "body",
        [{"at": "9999-12-31T23:59:59Z"}, {"at": "now"}, {"case": {"priority": "huge"}}, {"contacts": {}},
         {"contact": {"tags": ["x" * 500]}}, {"contact": {"language": "a\u0000b"}}],
    )  # fmt: skip
    async def test_what_cannot_be_asked_is_refused(self, sla: Sla, body: JSON) -> None:
        assert (await sla.client.post("/v1/policies/preview", json=body)).status_code == 422


class TestVersions:
    async def test_every_version_and_what_differs_between_two(self, sla: Sla) -> None:
        await sla.put("/v1/policies/p", policy(target("first_reply", "PT4H")))
        await sla.put("/v1/policies/p", policy(target("first_reply", "PT2H"), target("pickup", "PT1H")), 200)
        listed = await sla.get("/v1/policies/p/versions", limit=1)
        assert [each["version"] for each in listed["items"]] == [2]
        older = await sla.get("/v1/policies/p/versions", limit=1, cursor=listed["next"])
        assert older["items"][0]["document"]["targets"][0]["within"] == "PT4H"
        diff = await sla.get("/v1/policies/p/diff", version=1, to=2)
        assert [(c["path"], c["what"], c["before"], c["after"]) for c in diff["changes"]] == [
            ("targets.first_reply.within", "changed", "PT4H", "PT2H"),
            ("targets.pickup", "added", None, {"within": "PT1H"}),
        ]
        await sla.get("/v1/policies/p/diff", 404, version=1, to=3)
        await sla.get("/v1/policies/nobody/versions", 404)
        await sla.get("/v1/policies/p/versions", 422, cursor="garbage")

    async def test_a_policy_that_takes_effect_later_reaches_idle_cases_then(self, sla: Sla) -> None:
        await sla.put("/v1/policies/p", policy(target("first_reply", "PT4H")))
        await opened(sla)
        later = policy(target("first_reply", "PT8H")) | {"effective_from": m(60).isoformat()}
        await sla.put("/v1/policies/p", later, 200)
        loop = TakingEffect(sla.runtime, cast(SlaStore, sla.runtime.service.store).configuration)
        assert await loop.step() == LOOK_EVERY_S
        await sla.replan()
        (first,) = [c for c in (await sla.loaded()).clocks if c.metric == "first_reply"]
        assert first.due_at == m(240)
        sla.clock.set(m(61))
        assert await loop.step() == 0.0
        assert await loop.step() == LOOK_EVERY_S, "once"
        await sla.replan()
        answer = await sla.get(f"/v1/clocks/{first.id}")
        assert (at(answer["due_at"]), at(answer["first_due_at"])) == (m(480), m(240))
        assert answer["time_left"] == "PT6H59M"


class TestAudit:
    async def test_it_finds_nothing_but_what_was_changed_by_hand(self, sla: Sla) -> None:
        await opened(sla)

        async def found() -> list[str]:
            return [
                each.text
                async for _, clocks, some in audited(sla.db, cast(SlaStore, sla.runtime.service.store), sla.clock)
                for each in some
                if clocks
            ]

        assert await found() == []
        await sla.run("UPDATE clock SET due_at = due_at + interval '1 minute' WHERE metric = 'first_reply'")
        assert (await found())[0].startswith("due_at is")

    async def test_it_counts_by_the_calendar_that_a_clock_names_also_where_only_the_tables_hold_that_version(
        self, sla: Sla, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(policies, "MAX_EDITIONS", 1)  # stands for thousands of edits
        await sla.put("/v1/calendars/dublin", DUBLIN)
        await sla.put("/v1/policies/p", policy(target("first_reply", "PT2H", calendar="dublin")))
        await opened(sla)
        before = await sla.rows("SELECT due_at FROM clock WHERE calendar = 'dublin'")
        assert len(before) == 1
        edited: dict[str, Any] = {**DUBLIN, "weekly": {"fri": [["09:00", "10:00"]]}}
        await sla.put("/v1/calendars/dublin", edited, 200)
        store = cast(SlaStore, sla.runtime.service.store)
        found = [each.text async for *_, some in audited(sla.db, store, sla.clock) for each in some]
        assert not any("counted" in text for text in found), "its own deadline adds up"
