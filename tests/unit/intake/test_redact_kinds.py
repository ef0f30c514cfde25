"""Bank accounts, national ids, secrets and a team's own patterns are masked; what only looks like one stays."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.intake import redact
from tests.unit.intake.conftest import Intake

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nq2x+/==\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

# Numbers that authorities and providers publish as examples, each in a sentence as customers write it.
EXAMPLES = [
    ("iban", "please pay to {}", "DE89 3704 0044 0532 0130 00"),
    ("iban", "IBAN:{}.", "GB29NWBK60161331926819"),
    ("iban", "mein Konto {} bei der Bank", "de89370400440532013000"),
    ("iban", "{} and my phone is unchanged", "IE29 AIBK 9311 5212 3456 78"),
    ("it_codice_fiscale", "codice {}", "RSSMRA85T10A562S"),
    ("us_ssn", "it is {}", "536-90-4399"),
    ("us_ssn", "my SSN {}", "536904399"),
    ("uk_nino", "it is {}", "AB 12 34 56 C"),
    ("uk_nino", "National Insurance number: {}", "AB123456C"),
    ("es_dni", "Mi DNI es {}", "54362315K"),
    ("es_nie", "NIE {}", "X2482300W"),
    ("ie_pps", "my PPS number is {}", "6433435F"),
    ("fr_nir", "numéro de sécurité sociale : {}", "2 95 10 99 126 111 93"),
    ("de_steuer_id", "Steuer-ID {}", "36 574 261 809"),
    ("nl_bsn", "BSN {}", "111222333"),
    ("pl_pesel", "PESEL {}", "44051401359"),
    ("api_key", "our key is {}, is it leaked?", "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"),
    ("api_key", "key={}", "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"),
    ("api_key", "{}", "xoxb-" + "17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy"),
    ("aws_key", "id {}", "AKIAIOSFODNN7EXAMPLE"),
    ("aws_key", "aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("token", "curl -H 'Authorization: Bearer {}'", "mF_9.B5f-4.1JqM-xx77"),
    ("token", "cookie {}", JWT),
    ("private_key", "here:\n{}\nthanks", KEY),
]


@pytest.fixture
def configured() -> Iterator[None]:
    yield
    redact.configure()


@pytest.mark.parametrize(("kind", "sentence", "secret"), EXAMPLES)
def test_each_kind_is_masked_in_place_and_counted_once(kind: str, sentence: str, secret: str) -> None:
    original = sentence.format(secret)
    masked = redact.text(original)
    assert masked.counts == {kind: 1}
    assert len(masked.text) == len(original)
    kept = [word for word in secret.split() if len(word) > 4 and word in masked.text]
    assert not kept
    begin, end = sentence.split("{}")
    assert masked.text.startswith(begin) and masked.text.endswith(end)
    assert redact.text(masked.text) == (masked.text, {})


def test_of_a_bank_account_the_country_and_the_last_four_stay() -> None:
    assert redact.text("DE89 3704 0044 0532 0130 00").text == "DE** **** **** **** **30 00"


def test_two_bank_accounts_side_by_side_are_two() -> None:
    assert redact.text("DE89 3704 0044 0532 0130 00 GB29 NWBK 6016 1331 9268 19").counts == {"iban": 2}


def test_a_secret_in_a_url_is_masked_and_the_ids_in_it_stay() -> None:
    secret = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    masked = redact.url(f"https://desk.example/t/4242424242424242?iban=DE89370400440532013000&key={secret}")
    assert masked.counts == {"api_key": 1}
    assert masked.text.startswith("https://desk.example/t/4242424242424242?iban=DE89370400440532013000&key=***")


def test_the_name_of_an_attribute_says_what_its_value_is() -> None:
    masked, counts = redact.value({"dni": "54362315K", "order": "54362315K", "ssn": 536904399})
    assert masked == {"dni": "*" * 9, "order": "54362315K", "ssn": "*" * 9}
    assert counts == {"es_dni": 1, "us_ssn": 1}


def test_in_a_files_name_an_underscore_parts_words() -> None:
    assert redact.file_name("card_4242424242424242_front.jpg") == ("card_424242******4242_front.jpg", {"card": 1})
    assert redact.file_name("IMG_20261122_070300.jpg").counts == {}


class TestConfigured:
    def test_kinds_are_switched_off_by_name_and_card_numbers_never(self, configured: None) -> None:
        redact.configure(redact.named("us_ssn, api_key"))
        assert redact.text("DE89370400440532013000 and 536-90-4399").counts == {"us_ssn": 1}
        redact.configure(redact.named("none"))
        assert redact.text("536-90-4399 and 4242424242424242").counts == {"card": 1}

    def test_a_team_has_patterns_of_its_own(self, configured: None) -> None:
        redact.configure(own={"member": r"MBR-(\d{6})", "codename": "(?i)bluebird"})
        assert redact.text("MBR-123456 of Bluebird") == ("MBR-****** of ********", {"member": 1, "codename": 1})
        assert redact.text("ünïcode MBR-123456 😀").text == "ünïcode MBR-****** 😀"

    @pytest.mark.parametrize(
        ("names", "own"),
        [
            ({"iban", "nonsense"}, {}),
            (set(), {"back": r"(a)\1"}),
            (set(), {"look": "(?=a)"}),
            (set(), {"open": "("}),
            (set(), {"empty": "a*"}),
            (set(), {"Bad Name": "a"}),
            (set(), {"iban": "a"}),
            (set(), {"long": "a" * 501}),
            (set(), {f"n{n}": "a" for n in range(51)}),
        ],
    )
    def test_what_cannot_work_is_refused_at_start_and_says_where(self, names: set[str], own: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="TOCSIN_REDACT"):
            redact.configure(frozenset(names), own)

    @pytest.mark.timeout(20)
    def test_a_hostile_pattern_of_a_team_is_linear(self, configured: None) -> None:
        redact.configure(own={"bomb": "(a+)+$b", "wide": "(.*.*.*)x{30}y"})
        assert redact.text("a" * 100_000).counts == {}


async def test_what_was_masked_is_counted_by_kind_on_the_contact_and_as_a_metric(intake: Intake) -> None:
    def counted(kind: str) -> float:
        return REGISTRY.get_sample_value("tocsin_redactions_total", {"kind": kind}) or 0.0

    before = counted("card"), counted("iban")
    body = "4242 4242 4242 4242 and DE89370400440532013000"
    accepted = await intake.contact(body=body, customer={"name": "5555555555554444"})
    kept = await intake.get(f"/v1/contacts/{accepted['contact_id']}")
    assert kept["redactions"] == {"card": 2, "iban": 1}
    assert (counted("card") - before[0], counted("iban") - before[1]) == (2, 1)
    await intake.activity("note_added", case_id=accepted["case_id"], text="4242424242424242")
    assert counted("card") - before[0] == 3
    assert "4242424242424242" not in await intake.everything_stored()


# What upstreams really send: each format with every digit drawn, so that some pass a check digit by chance.
FORMATS = {
    "iso timestamp": r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z",
    "epoch seconds": r"1[5-9][0-9]{8}",
    "epoch milliseconds": r"1[5-9][0-9]{11}",
    "epoch nanoseconds": r"1[5-9][0-9]{17}",
    "e.164": r"\+(1|33|34|353|44|49|61|81|86)[0-9]{9}",
    "e.164, spaced": r"\+(353 1|44 20|49 30|1 415) [0-9]{3} [0-9]{4}",
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    "ups": r"1Z[0-9A-Z]{6}[0-9]{10}",
    "dhl express": r"[0-9]{10}",
    "dhl ecommerce": r"JJD[0-9]{18}",
    "royal mail": r"[A-Z]{2}[0-9]{9}GB",
    "usps": r"94[0-9]{20}",
    "usps, spaced": r"9400 1[0-9]{3} [0-9]{4} [0-9]{4} [0-9]{4} [0-9]{2}",
    "amazon order": r"1[0-9]{2}-[0-9]{7}-[0-9]{7}",
    "shopify order": r"#[0-9]{4,6}",
    "our case": r"C-[0-9]{4,7}",
    "invoice": r"INV-20[0-9]{2}-[0-9]{6}",
    "order with letters": r"(ORD|SO|PO)-?[0-9]{6,16}",
    "order with a last letter": r"[0-9]{8}[A-Z]",
    "stripe": r"(ch|pi|cus|re|evt|acct|pk_live)_[0-9A-Za-z]{14,24}",
    "github": r"https://github\.com/acme/app/(issues|pull)/[0-9]{1,6}#issuecomment-[0-9]{9,10}",
    "zendesk": r"https://acme\.zendesk\.com/agent/tickets/[0-9]{4,12}",
    "link with a long id": r"https://shop\.example/orders/[0-9]{16}\?ref=[0-9]{13}",
    "ipv4": r"(10|172|192)\.[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2}:[0-9]{2,5}",
    "commit": r"[0-9a-f]{40}",
    "version": r"v[0-9]{1,2}\.[0-9]{1,3}\.[0-9]{1,4}",
    "amount": r"(EUR|USD|GBP) [0-9]{1,3},[0-9]{3}\.[0-9]{2}",
    "zip+4": r"[0-9]{5}-[0-9]{4}",
    "isbn": r"978-[0-9]-[0-9]{2}-[0-9]{6}-[0-9]",
    "message id": r"<[0-9]{10}\.[0-9]{6,10}@mail\.example>",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(data=st.data())
def test_ids_phones_links_tracking_numbers_and_times_stay(name: str, data: st.DataObject) -> None:
    """More than 1,000 of them, alone and within a sentence."""
    number = data.draw(st.from_regex(FORMATS[name], fullmatch=True))
    for original in (number, f"About {number}: nothing has come yet.", f"see {number}\nand {number}"):
        assert redact.text(original) == (original, {})
