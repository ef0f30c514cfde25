"""A customer who asks to be forgotten is, in every service; counts and clocks stay, and the case goes on."""

import secrets

from tests.e2e import scene
from tests.e2e.client import JSON, Client, until
from tests.e2e.stack import Stack
from tests.e2e.tables import run

SCHEMAS = ("intake", "routing", "sla", "notify", "auth")  # the log forgets by retention
SOON_S = 20.0


def holding(url: str, words: list[str]) -> list[str]:
    """Every table with a row that has any of the words in any column, as text or as bytes."""
    [tables] = run(
        url,
        "SELECT table_schema || '.\"' || table_name || '\"' FROM information_schema.tables WHERE table_schema IN"
        f" {SCHEMAS} AND table_type = 'BASE TABLE' ORDER BY 1",
    )
    asked = []
    for (table,) in tables:
        schema, name = table.replace('"', "").split(".")
        [columns] = run(
            url,
            "SELECT column_name FROM information_schema.columns WHERE data_type = 'bytea'"
            f" AND table_schema = '{schema}' AND table_name = '{name}' ORDER BY 1",
        )
        texts = ["CAST(t AS text)", *(f"encode(t.\"{column}\", 'escape')" for (column,) in columns)]
        found = " OR ".join(f"strpos(lower({text}), '{word}') > 0" for text in texts for word in words)
        asked.append(
            f"SELECT CAST('{name}' AS text) || ': ' || left(CAST(t AS text), 600) FROM {table} t WHERE {found}"
        )
    return [row[0] for rows in run(url, *asked) for row in rows]


def test_no_table_keeps_identity_or_text_and_the_case_goes_on(stack: Stack, tocsin: Client) -> None:
    word = "zq" + secrets.token_hex(6)
    phone = "+3531" + f"{secrets.randbelow(10**7):07d}"
    mail = f"{word}@customer.example"
    who = {"id": f"cus_{word}", "email": mail, "phone": phone, "name": f"Name {word}", "tier": "enterprise"}
    source = f"desk-{secrets.token_hex(4)}"
    text = {"subject": f"Subject {word}", "body": f"Body {word}", "attributes": {"note": word}}
    contact = scene.payout_missing(**text) | {"customer": who, "source": source, "thread": "1", "external_id": "1"}
    key = {"Idempotency-Key": secrets.token_hex(8)}
    case = tocsin.post("/v1/contacts", contact, headers=key)["case_id"]
    tocsin.post("/v1/activities", scene.replied(case, kind="note_added", text=f"note about {word}"))
    tocsin.post("/v1/activities", {"kind": "note_added", "source": source, "thread": "9", "text": f"waits for {mail}"})
    letter = f"From: Name {word} <{mail}>\nSubject: {word}\nMessage-ID: <{secrets.token_hex(9)}@x>\n\n{word}"
    sent = {"content": letter.encode(), "headers": {"content-type": "message/rfc822"}}
    tocsin.call("POST", "/v1/contacts/email", 202, **sent)
    nested = f"From: {mail}\nSubject: {word}\n" + "Content-Type: message/rfc822\n\n" * 60
    held = tocsin.call("POST", "/v1/contacts/email", 202, content=nested.encode(), headers=sent["headers"])
    assert held["quarantined"]
    other = tocsin.post("/v1/contacts", scene.question(customer={"id": "someone-else", "phone": phone}))["case_id"]
    tocsin.post("/v1/contacts", scene.question(customer={"id": f"cus_{word}", "phone": "+35319999999"}))
    paged: JSON = until(lambda: scene.page(tocsin, case), SOON_S, "the case is paged")
    assert holding(stack.database_url, [word])

    answer = tocsin.call("DELETE", f"/v1/customers/cus_{word}", 200)
    assert (answer["cases"], answer["quarantined"]) == (3, 1)
    left = [word, mail]
    until(
        lambda: not holding(stack.database_url, left), SOON_S, f"nothing is left: {holding(stack.database_url, left)}"
    )
    assert phone in str(tocsin.get(f"/v1/cases/{other}"))  # of somebody else who has the same number
    assert tocsin.call("DELETE", f"/v1/customers/cus_{word}", 200) == {"cases": 0, "quarantined": 0}

    kept = tocsin.get(f"/v1/cases/{case}")
    assert (kept["contacts_total"], kept["activities_total"], kept["contacts"][0]["body"]) == (1, 1, "")
    assert scene.the_clock(tocsin, case)["breached_at"]
    assert tocsin.post("/v1/contacts", contact, headers=key)["duplicate"]
    tocsin.post("/v1/activities", scene.replied(case))
    until(lambda: scene.the_clock(tocsin, case)["met_at"], SOON_S, "the clock is met late")
    until(lambda: tocsin.get(f"/v1/pages/{paged['id']}")["state"] == "resolved", SOON_S, "the page resolves")
    assert not holding(stack.database_url, left)
