"""Cases: found, listed, merged; customers forgotten; volumes kept."""

from datetime import timedelta

import pytest

from tests.unit.intake.conftest import CARD, Intake


async def test_a_case_is_found_by_id_and_number_with_all_that_happened(intake: Intake) -> None:
    case = await intake.contact(source="desk", thread="t", url="https://desk.example/1", customer={"id": "cus_1"})
    intake.clock.advance(timedelta(minutes=1))
    await intake.contact(source="desk", thread="t", body="more")
    await intake.activity("agent_replied", source="desk", thread="t")
    by_id = await intake.get(f"/v1/cases/{case['case_id']}")
    assert by_id == await intake.get(f"/v1/cases/{case['case_number'].lower()}")
    assert (by_id["number"], by_id["status"], by_id["url"]) == ("C-1000", "open", "https://desk.example/1")
    assert by_id["customer"]["id"] == "cus_1"
    assert ([c["body"] for c in by_id["contacts"]], [a["kind"] for a in by_id["activities"]]) == (
        ["", "more"],
        ["agent_replied"],
    )


async def test_cases_are_listed_newest_first_by_pages(intake: Intake) -> None:
    await intake.batch([{"subject": str(n)} for n in range(7)])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await intake.get("/v1/cases", limit="3", **cursor)
        seen += [case["number"] for case in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == [f"C-{1006 - n}" for n in range(7)]
    await intake.get("/v1/cases", 422, cursor="nonsense")
    await intake.get("/v1/cases", 422, limit="501")


@pytest.mark.parametrize("who", ["cus_1", "Ann@A.example", "+353 1 234 5678"])
async def test_cases_are_found_by_status_and_by_any_name_of_the_customer(intake: Intake, who: str) -> None:
    hers = await intake.contact(customer={"id": "cus_1", "email": "ann@a.example", "phone": "+353 1 2345678"})
    await intake.contact(customer={"id": "cus_2"})
    found = await intake.get("/v1/cases", customer=who)
    assert [case["id"] for case in found["items"]] == [hers["case_id"]]
    assert len((await intake.get("/v1/cases", customer=who, status="new"))["items"]) == 1
    assert (await intake.get("/v1/cases", customer=who, status="closed"))["items"] == []
    await intake.get("/v1/cases", 422, status="nonsense")


class TestMerge:
    async def test_the_target_shows_all_and_later_contacts_follow(self, intake: Intake) -> None:
        source = await intake.contact(source="desk", thread="t", body="first")
        intake.clock.advance(timedelta(minutes=1))
        target = await intake.contact(source="desk", thread="u", body="second")
        intake.clock.advance(timedelta(minutes=1))
        merged = await intake.post(f"/v1/cases/{source['case_number']}/merge", {"into": target["case_number"]}, 200)
        assert merged == {"case_id": source["case_id"], "merged_into": target["case_id"], "number": "C-1001"}
        later = await intake.contact(source="desk", thread="t", body="third")
        assert (later["case_id"], later["opened_case"]) == (target["case_id"], False)
        shown = await intake.get("/v1/cases/C-1001")
        assert [contact["body"] for contact in shown["contacts"]] == ["first", "second", "third"]
        assert shown["contacts_total"] == 3
        tombstone = await intake.get("/v1/cases/C-1000")
        assert (tombstone["status"], tombstone["merged_into"]) == ("closed", target["case_id"])

    async def test_both_sides_are_told_with_the_earliest_unanswered_contact(self, intake: Intake) -> None:
        source = await intake.contact(source="desk", thread="t", body="answered")
        intake.clock.advance(timedelta(minutes=1))
        await intake.activity("agent_replied", source="desk", thread="t")
        intake.clock.advance(timedelta(minutes=1))
        await intake.contact(source="desk", thread="t", body="unanswered")
        intake.clock.advance(timedelta(minutes=1))
        await intake.contact(source="desk", thread="t", body="still")
        target = await intake.contact()
        await intake.post(f"/v1/cases/{source['case_id']}/merge", {"into": target["case_id"], "by": "ana"}, 200)
        merged, absorbed = (await intake.published())[-2:]
        assert (merged["type"], merged["case_id"], merged["into"]) == (
            "case.merged.v1",
            source["case_id"],
            target["case_id"],
        )
        assert (absorbed["type"], absorbed["case_id"], absorbed["source_case"]) == (
            "case.absorbed.v1",
            target["case_id"],
            source["case_id"],
        )
        assert absorbed["earliest_unanswered_at"] == "2026-11-23T12:02:00Z"
        assert absorbed["by"] == "ana"

    async def test_nothing_unanswered_is_told_as_such(self, intake: Intake) -> None:
        source, target = await intake.contact(source="desk", thread="t"), await intake.contact()
        intake.clock.advance(timedelta(minutes=1))
        await intake.activity("agent_replied", source="desk", thread="t")
        await intake.post(f"/v1/cases/{source['case_id']}/merge", {"into": target["case_id"]}, 200)
        assert (await intake.published())[-1]["earliest_unanswered_at"] is None

    async def test_asked_again_it_is_done_and_cycles_are_refused(self, intake: Intake) -> None:
        one, two = await intake.contact(), await intake.contact()
        path = f"/v1/cases/{one['case_id']}/merge"
        first = await intake.post(path, {"into": two["case_id"]}, 200)
        told = len(await intake.published())
        assert await intake.post(path, {"into": two["case_id"]}, 200) == first
        assert len(await intake.published()) == told
        await intake.post(f"/v1/cases/{two['case_id']}/merge", {"into": one["case_id"]}, 409)
        await intake.post(f"/v1/cases/{two['case_id']}/merge", {"into": two["case_id"]}, 409)
        await intake.post(f"/v1/cases/{two['case_id']}/merge", {"into": "C-9"}, 404)

    async def test_a_contact_finds_its_way_through_a_chain_of_merges(self, intake: Intake) -> None:
        cases = [await intake.contact(source="desk", thread=str(n)) for n in range(3)]
        for source, target in ((0, 1), (1, 2)):
            await intake.post(f"/v1/cases/{cases[source]['case_id']}/merge", {"into": cases[target]["case_id"]}, 200)
        assert (await intake.contact(source="desk", thread="0", body="x"))["case_id"] == cases[2]["case_id"]
        assert (await intake.get("/v1/cases/C-1002"))["contacts_total"] == 4


class TestErasure:
    async def test_identity_and_text_go_and_counts_stay(self, intake: Intake) -> None:
        who = {"id": "cus_1", "email": "ann@secret.example", "name": "Ann Secret", "phone": "+35312345678"}
        case = await intake.contact(source="desk", thread="t", customer=who, subject="secret", body="secret body")
        await intake.mail("From: Ann Secret <ann@secret.example>\nSubject: secret\nMessage-ID: <s@x>\n\nsecret body")
        await intake.activity("agent_replied", source="desk", thread="t", text="secret answer", actor="ana")
        await intake.mail("From: ann@secret.example\nSubject: x\n" + "Content-Type: message/rfc822\n\n" * 50)
        other = await intake.contact(customer={"id": "cus_2", "name": "Bob"}, body="stays")

        erased = await intake.client.delete("/v1/customers/cus_1")
        assert erased.json() == {"cases": 2, "quarantined": 1}
        stored = (await intake.everything_stored()).lower()
        assert "secret" not in stored
        assert "35312345678" not in stored
        kept = await intake.get(f"/v1/cases/{case['case_id']}")
        assert (kept["contacts_total"], kept["activities_total"], kept["customer"]["name"]) == (1, 1, None)
        assert kept["activities"][0]["actor"] == "ana"
        assert kept["contacts"][0]["erased_at"]
        assert (await intake.get(f"/v1/contacts/{other['contact_id']}"))["body"] == "stays"
        assert [e["customer_id"] for e in await intake.published() if e["type"] == "customer.erased.v1"] == ["", ""]
        assert await intake.difference("contacts: accepted → case") == 0

    async def test_asked_again_it_is_done(self, intake: Intake) -> None:
        await intake.contact(customer={"id": "cus_1"})
        await intake.client.delete("/v1/customers/cus_1")
        told = len(await intake.published())
        again = await intake.client.delete("/v1/customers/cus_1")
        assert (again.status_code, again.json()) == (200, {"cases": 0, "quarantined": 0})
        assert len(await intake.published()) == told

    async def test_an_erased_contact_posted_again_brings_nothing_back(self, intake: Intake) -> None:
        given = {"source": "desk", "external_id": "1", "customer": {"id": "cus_1"}, "body": "secret"}
        first = await intake.contact(**given)
        await intake.client.delete("/v1/customers/cus_1")
        assert await intake.contact(**given) == first | {"duplicate": True}
        assert (await intake.get(f"/v1/contacts/{first['contact_id']}"))["body"] == ""

    async def test_the_case_that_a_merged_one_went_into_is_told_too(self, intake: Intake) -> None:
        source, target = await intake.contact(customer={"id": "cus_1"}), await intake.contact()
        await intake.post(f"/v1/cases/{source['case_id']}/merge", {"into": target["case_id"]}, 200)
        await intake.client.delete("/v1/customers/cus_1")
        told = [event["case_id"] for event in await intake.published() if event["type"] == "customer.erased.v1"]
        assert set(told) == {source["case_id"], target["case_id"]}


class TestVolumes:
    async def test_a_days_volumes_are_set_and_read(self, intake: Intake) -> None:
        path = "/v1/volumes/2026-11-22"
        answer = await intake.client.put(path, json={"active_customers": 10, "transactions": 20})
        assert answer.status_code == 200
        assert answer.headers["etag"] == '"1"'
        assert (await intake.get(path))["transactions"] == 20

    async def test_a_change_on_a_stale_reading_is_refused(self, intake: Intake) -> None:
        path = "/v1/volumes/2026-11-22"
        absent = await intake.client.put(path, json={"transactions": 1}, headers={"If-Match": '"1"'})
        assert absent.status_code == 412
        await intake.client.put(path, json={"transactions": 1})
        good = await intake.client.put(path, json={"transactions": 2}, headers={"If-Match": '"1"'})
        stale = await intake.client.put(path, json={"transactions": 3}, headers={"If-Match": '"1"'})
        assert (good.status_code, stale.status_code) == (200, 412)
        assert (await intake.get(path))["transactions"] == 2

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/volumes/yesterday", {"transactions": 1}),
            ("/v1/volumes/2026-11-22", {}),
            ("/v1/volumes/2026-11-22", {"transactions": -1}),
            ("/v1/volumes/2026-11-22", {"transactions": 10**18}),
            ("/v1/volumes/2026-11-22", {"transactions": 1, "x": 2}),
        ],
    )
    async def test_wrong_volumes_are_refused(self, intake: Intake, path: str, body: dict[str, object]) -> None:
        assert (await intake.client.put(path, json=body)).status_code == 422


class TestMail:
    async def test_a_mail_and_its_answers_are_one_case(self, intake: Intake) -> None:
        box = "help@desk.example"
        first = await intake.mail("From: ann@a.example\nMessage-ID: <1@x>\nSubject: Help\n\nhi", mailbox=box)
        reply = await intake.mail(
            "From: ann@a.example\nMessage-ID: <2@x>\nReferences: <1@x>\nSubject: Re: Help\n\nhi?", mailbox=box
        )
        assert (reply["case_id"], reply["opened_case"]) == (first["case_id"], False)

    async def test_a_stranger_cannot_append_by_guessing(self, intake: Intake) -> None:
        """CASES 36 (zammad#5064)."""
        first = await intake.mail("From: ann@a.example\nMessage-ID: <1@x>\nSubject: Help\n\nhi")
        guess = await intake.mail("From: eve@e.example\nMessage-ID: <9@x>\nIn-Reply-To: <1@x>\nSubject: Re\n\nme too")
        assert (guess["case_id"] != first["case_id"], guess["opened_case"]) == (True, True)
        because = (await intake.get(f"/v1/contacts/{guess['contact_id']}"))["because"]["text"]
        assert because == "Opened: it answers a message of C-1000, but its sender takes no part there."

    async def test_the_same_mail_again_is_one_contact_whatever_its_way_added(self, intake: Intake) -> None:
        mail = "From: ann@a.example\nMessage-ID: <1@x>\nSubject: Help\n\nhi there\n"
        first = await intake.mail(mail)
        again = await intake.mail(("Received: by mx\n" + mail).replace("\n", "\r\n"))
        assert again == first | {"duplicate": True}

    async def test_a_message_id_repeated_by_another_sender_suppresses_nothing(self, intake: Intake) -> None:
        await intake.mail("From: eve@e.example\nMessage-ID: <1@x>\nSubject: Help\n\nhi")
        mine = await intake.mail("From: ann@a.example\nMessage-ID: <1@x>\nSubject: Help\n\nhi")
        assert (mine["duplicate"], mine["opened_case"]) == (False, True)

    async def test_other_words_under_the_same_message_id_are_quarantined_and_can_be_released(
        self, intake: Intake
    ) -> None:
        first = await intake.mail("From: ann@a.example\nMessage-ID: <1@x>\nSubject: Help\n\nhi")
        held = await intake.mail("From: ann@a.example\nMessage-ID: <1@x>\nSubject: Help\n\nsomething else")
        assert (held["quarantined"], held["reason"]) == (True, "message_id_reused")
        released = await intake.post(f"/v1/quarantine/{held['id']}/release")
        assert (released["case_id"], released["duplicate"]) == (first["case_id"], False)

    async def test_an_absent_persons_answer_is_kept_marked_and_reopens_nothing(self, intake: Intake) -> None:
        """CASES 18, 37."""
        mail = "From: ann@a.example\nMessage-ID: <{}@x>\nReferences: <1@x>\nSubject: x\n{}\nhi"
        case = await intake.mail(mail.format(1, ""))
        intake.clock.advance(timedelta(minutes=1))
        await intake.activity("status_changed", case_id=case["case_id"], status="solved")
        intake.clock.advance(timedelta(minutes=1))
        auto = await intake.mail(mail.format(2, "Auto-Submitted: auto-replied\n"))
        assert auto["case_id"] == case["case_id"]
        assert await intake.status(case["case_id"]) == "solved"
        assert (await intake.published())[-1]["automated"] is True
        await intake.mail(mail.format(3, ""))
        assert await intake.status(case["case_id"]) == "open"

    async def test_a_mail_of_megabytes_with_an_attachment(self, intake: Intake) -> None:
        raw = (
            b"From: ann@a.example\nSubject: big\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n"
            b"--b\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\n"
            + b"QUJD" * 1_500_000 + b"\n--b--\n"
        )  # fmt: skip
        kept = await intake.get(f"/v1/contacts/{(await intake.mail(raw))['contact_id']}")
        assert kept["body"] == "hello"
        [attachment] = kept["attachments"]
        assert (attachment["name"], attachment["size"], attachment["problem"]) == ("x.pdf", 4_500_000, None)

    async def test_bad_requests_are_told(self, intake: Intake) -> None:
        await intake.mail("", 422)
        await intake.mail("From: a@a.example\n\nx", 422, mailbox="nonsense")
        await intake.mail("From: a@a.example\n\nx", 422, mailbx="a@a.example")


class TestQuarantine:
    async def test_what_cannot_be_read_is_kept_and_listed(self, intake: Intake) -> None:
        """CASES 40."""
        text = await intake.mail(f"these are words and a card {CARD}")
        binary = await intake.mail(b"\x00\xff" * 100)
        listed = (await intake.get("/v1/quarantine"))["items"]
        assert [item["id"] for item in listed] == [binary["id"], text["id"]]
        kept = await intake.get(f"/v1/quarantine/{text['id']}")
        assert kept["raw"] == kept["body"] == "these are words and a card 4111 11** **** 1111"
        assert (kept["readable"], kept["sha256"]) == (True, None)
        kept = await intake.get(f"/v1/quarantine/{binary['id']}")
        assert (kept["readable"], kept["raw"], kept["size"], len(kept["sha256"])) == (False, None, 200, 64)

    async def test_released_it_is_a_contact_once(self, intake: Intake) -> None:
        held = await intake.mail("just words")
        contact = await intake.post(f"/v1/quarantine/{held['id']}/release")
        assert (await intake.get(f"/v1/contacts/{contact['contact_id']}"))["body"] == "just words"
        await intake.post(f"/v1/quarantine/{held['id']}/release", status=409)
        item = await intake.get(f"/v1/quarantine/{held['id']}")
        assert (item["state"], item["contact_id"], item["settled_by"], item["body"]) == (
            "released",
            contact["contact_id"],
            "ana",
            None,
        )
        assert await intake.difference("contacts: accepted → case") == 0

    async def test_dropped_its_content_goes_and_the_reason_stays(self, intake: Intake) -> None:
        held = await intake.mail("spam words")
        await intake.post(f"/v1/quarantine/{held['id']}/drop", {"reason": ""}, 422)
        dropped = await intake.post(f"/v1/quarantine/{held['id']}/drop", {"reason": "spam"}, 200)
        assert (dropped["state"], dropped["settled_why"]) == ("dropped", "spam")
        assert "spam words" not in await intake.everything_stored()
        await intake.post(f"/v1/quarantine/{held['id']}/release", status=409)
        assert (await intake.get("/v1/quarantine", state="open"))["items"] == []
        assert await intake.difference("contacts: accepted → case") == 0

    async def test_what_nobody_can_read_cannot_be_released(self, intake: Intake) -> None:
        held = await intake.mail(b"\x00\xff" * 100)
        problem = await intake.post(f"/v1/quarantine/{held['id']}/release", status=409)
        assert "Drop it" in problem["detail"]

    async def test_it_is_listed_by_pages(self, intake: Intake) -> None:
        for n in range(3):
            await intake.mail(f"words {n}")
            intake.clock.advance(timedelta(seconds=1))
        first = await intake.get("/v1/quarantine", limit="2")
        rest = await intake.get("/v1/quarantine", limit="2", cursor=first["next"])
        assert [item["subject"] for item in first["items"] + rest["items"]] == ["words 2", "words 1", "words 0"]
        assert rest["next"] is None
        await intake.get("/v1/quarantine", 422, cursor=first["next"][:-4])
