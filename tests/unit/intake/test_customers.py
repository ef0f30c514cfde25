"""The same customer across channels by id, verified address or number; never by a name (CASES 39); merges by people."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.api import customers as api
from services.intake.customers import Directory, Sighting
from shared import points
from tests.unit.intake.conftest import JSON, Intake

ids = st.sampled_from(["cus_1", "cus_2", "cus_3"]) | st.none()
emails = st.sampled_from(["a@x.example", "b@x.example"]) | st.none()
phones = st.sampled_from(["+35311111111", "+35322222222"]) | st.none()
sightings = st.lists(st.builds(Sighting, ids, emails, phones), max_size=12)
merges = st.sampled_from(
    [{}, {"cus_1": "cus_2"}, {"cus_1": "cus_2", "cus_2": "cus_3"}, {"a@x.example": "cus_1"}, {"cus_3": "a@x.example"}]
)


def names(all_: list[Sighting]) -> set[str]:
    return {name for each in all_ for name in (each.id, each.email, each.phone) if name}


@given(sightings, merges, st.randoms(use_true_random=False))
def test_any_order_of_contacts_gives_the_same_customers(
    all_: list[Sighting], said: dict[str, str], chance: Any
) -> None:
    shuffled = [*all_, *all_[:3]]
    chance.shuffle(shuffled)
    one, other = Directory.of_sightings(all_, said), Directory.of_sightings(shuffled, said)
    assert {name: one.customer(name) for name in names(all_)} == {name: other.customer(name) for name in names(all_)}


@given(sightings)
def test_two_ids_are_never_one_customer_without_a_person_saying_so(all_: list[Sighting]) -> None:
    directory = Directory.of_sightings(all_, {})
    for each in all_:
        assert each.id is None or directory.customer(each.id) == each.id


@given(sightings, merges)
def test_an_address_is_a_customers_only_where_one_customer_claims_it(
    all_: list[Sighting], said: dict[str, str]
) -> None:
    directory = Directory.of_sightings(all_, said)
    for address in names(all_) - directory.ids - set(said):
        claimants = {directory.customer(each.id) for each in all_ if each.id and address in (each.email, each.phone)}
        assert directory.customer(address) == (claimants.pop() if len(claimants) == 1 else address)


@given(sightings)
def test_what_names_the_merged_one_names_the_other(all_: list[Sighting]) -> None:
    directory = Directory.of_sightings(all_, {"cus_1": "cus_2"})
    assert directory.customer("cus_1") == directory.customer("cus_2") == "cus_2"


ANN = {"id": "cus_1", "email": "ann@a.example", "phone": "+353 1 234 5678", "name": "Ann"}


async def of(intake: Intake, name: str, code: int = 200) -> JSON:
    return await intake.get(f"/v1/customers/{name}", code)


async def test_one_customer_across_channels(intake: Intake) -> None:
    desk = await intake.contact(customer=ANN)
    mail = await intake.mail("From: Annie <ANN@a.example>\nSubject: x\n\nhi")
    call = await intake.contact(channel="phone", customer={"phone": "01 234 5678", "country": "IE"})
    for name in ("cus_1", "Ann@A.example", "+35312345678"):
        found = await of(intake, name)
        assert found["id"] == "cus_1"
        assert (found["ids"], found["emails"], found["phones"]) == (["cus_1"], ["ann@a.example"], ["+35312345678"])
        assert found["contacts_total"] == 3
        assert {case["id"] for case in found["cases"]} == {each["case_id"] for each in (desk, mail, call)}
    listed = await intake.get("/v1/cases", customer="cus_1")
    assert len(listed["items"]) == 3
    await of(intake, "nobody", 404)


async def test_a_name_or_a_shared_address_makes_nobody_one(intake: Intake) -> None:
    """CASES 39."""
    shared = {"phone": "+35312345678", "email": "family@a.example", "name": "Ann Byrne"}
    await intake.contact(customer={"id": "cus_1", **shared})
    await intake.contact(customer={"id": "cus_2", **shared})
    await intake.mail("From: Ann Byrne <family@a.example>\nSubject: x\n\nhi")
    for name in ("cus_1", "cus_2"):
        found = await of(intake, name)
        assert (found["contacts_total"], found["emails"], found["phones"]) == (1, [], [])
        assert found["shared"] == {"+35312345678": ["cus_1", "cus_2"], "family@a.example": ["cus_1", "cus_2"]}
    assert (await of(intake, "family@a.example"))["contacts_total"] == 1


async def test_what_nobody_vouched_for_is_a_customer_of_its_own(intake: Intake) -> None:
    await intake.contact(channel="web", customer={"email": "ann@a.example", "phone": "+35312345678"})
    await intake.contact(channel="phone", customer={"phone": "+35312345678"})
    assert (await of(intake, "ann@a.example"))["contacts_total"] == 1
    assert (await of(intake, "+35312345678"))["contacts_total"] == 1


async def test_a_merge_is_explicit_audited_and_taken_back(intake: Intake) -> None:
    await intake.contact(customer=ANN)
    await intake.contact(customer={"id": "cus_2", "email": "ann@work.example"})
    await intake.mail("From: ann@work.example\nSubject: x\n\nhi")
    merged = await intake.post("/v1/customers/cus_2/merge", {"into": "ann@a.example", "reason": "she said so"}, 200)
    assert (merged["id"], merged["ids"], merged["contacts_total"]) == ("cus_1", ["cus_1", "cus_2"], 3)
    assert (await of(intake, "ann@work.example"))["id"] == "cus_1"
    again = await intake.post("/v1/customers/cus_2/merge", {"into": "cus_1"}, 200)
    assert len(again["merges"]) == 1
    await intake.post("/v1/customers/cus_1/merge", {"into": "cus_2"}, 409)  # a circle
    await intake.post("/v1/customers/cus_2/merge", {"into": "nobody"}, 404)
    await intake.post("/v1/customers/cus_2/merge", {"into": "cus_2"}, 409)

    undone = await intake.client.delete("/v1/customers/cus_2/merge")
    assert undone.status_code == 200
    one, two = await of(intake, "cus_1"), await of(intake, "cus_2")
    assert (one["contacts_total"], two["contacts_total"], two["emails"]) == (1, 2, ["ann@work.example"])
    [audit] = two["merges"]
    assert (audit["source"], audit["target"], audit["reason"]) == ("cus_2", "cus_1", "she said so")
    assert audit["merged_by"] == audit["undone_by"] == "ana"
    assert (await intake.client.delete("/v1/customers/cus_2/merge")).status_code == 404


async def test_an_address_is_merged_by_hand_where_nobody_vouched_for_it(intake: Intake) -> None:
    await intake.contact(customer={"id": "cus_1"})
    await intake.mail("From: ann@home.example\nSubject: x\n\nhi")
    merged = await intake.post("/v1/customers/ann@home.example/merge", {"into": "cus_1"}, 200)
    assert (merged["id"], merged["emails"], merged["contacts_total"]) == ("cus_1", ["ann@home.example"], 2)


async def test_the_database_finds_whom_the_rule_finds(intake: Intake) -> None:
    everyone = [
        Sighting("cus_1", "a@x.example", None),
        Sighting("cus_2", "a@x.example", "+35312345678"),
        Sighting("cus_3", "b@x.example", "+35312345678"),
        Sighting(None, "b@x.example", None),
        Sighting(None, None, "+35312345678"),
        Sighting("cus_4", None, "+35318765432"),
    ]
    for each in everyone:
        await intake.contact(customer={k: v for k, v in each._asdict().items() if v})
    for source, target in ((None, None), ("cus_1", "cus_2"), ("cus_2", "cus_4"), ("b@x.example", "cus_4")):
        said = {}
        if source:
            await intake.post(f"/v1/customers/{source}/merge", {"into": target}, 200)
        async with intake.runtime.db.transaction() as tx:
            rows = await tx.rows("SELECT source, target FROM customer_merge WHERE undone_at IS NULL ORDER BY source")
            said = {row.source: row.target for row in rows}
        rule = Directory.of_sightings(everyone, said)
        for name in names(everyone):
            assert (await of(intake, name))["id"] == rule.customer(name), (name, said)


async def test_an_erasure_that_is_cut_short_is_completed_by_the_same_request(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "GROUP", 1)
    for n in range(3):
        await intake.contact(customer=ANN, body=f"secret {n}")
        await intake.mail(f"From: ann@a.example\nSubject: secret\nMessage-ID: <{n}@x>\n\nsecret")
    commits = iter(range(100))

    async def fail(name: str) -> None:
        if name == "db.commit" and next(commits) == 4:
            raise ConnectionError("lost")

    with points.install(fail):
        assert (await intake.client.delete("/v1/customers/cus_1")).status_code == 503
    left = await of(intake, "ann@a.example")
    assert left["id"] == "cus_1"
    assert 0 < left["contacts_total"] < 6
    assert (await intake.client.delete("/v1/customers/cus_1")).status_code == 200
    stored = await intake.everything_stored()
    assert "secret" not in stored
    assert "ann@a.example" not in stored
    await of(intake, "cus_1", 404)


@pytest.mark.parametrize("how", ["id", "email"])
async def test_erasing_one_of_two_who_share_a_number_leaves_the_other(intake: Intake, how: str) -> None:
    shared = {"phone": "+35312345678"}
    mine = await intake.contact(customer={"id": "cus_1", "email": "ann@a.example", **shared}, body="mine")
    theirs = await intake.contact(customer={"id": "cus_2", **shared}, body="theirs")
    problem = await intake.client.delete("/v1/customers/+35312345678")
    assert (problem.status_code, problem.json()["title"]) == (409, "Shared")
    assert (await intake.get(f"/v1/contacts/{theirs['contact_id']}"))["body"] == "theirs"
    named = {"id": "cus_1", "email": "ann@a.example"}[how]
    assert (await intake.client.delete(f"/v1/customers/{named}")).json()["cases"] == 1
    assert (await intake.get(f"/v1/contacts/{mine['contact_id']}"))["body"] == ""
    assert (await intake.get(f"/v1/contacts/{theirs['contact_id']}"))["body"] == "theirs"
    told = [event["case_id"] for event in await intake.published() if event["type"] == "customer.erased.v1"]
    assert told == [mine["case_id"]]
