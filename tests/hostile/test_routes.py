"""Every route of every service, as its document has it, with what nobody would send; and what the logs say of it."""

import pytest

from tests.e2e.stack import SIGNING_SECRET, Stack
from tests.hostile.conftest import SETTINGS
from tests.hostile.run import PAGER_SECRET, SOURCE_SECRET, WEBHOOK_SECRET, fuzz

SEED = 1
FOR_S, WITHOUT_KEY_S = 30, 8
QUICK = ("--exclude-path-regex", "/backtest$")  # each takes a process of its own, seconds; `make fuzz` has them


@pytest.mark.timeout(FOR_S + 90)
def test_no_route_fails_or_answers_what_its_document_does_not_say(stack: Stack) -> None:
    outcome = fuzz(stack, FOR_S, SEED, stack.key, "with-a-key", *QUICK)
    assert outcome.clean, outcome.told


@pytest.mark.timeout(WITHOUT_KEY_S + 90)
def test_without_a_key_every_route_refuses_as_its_document_says(stack: Stack) -> None:
    outcome = fuzz(stack, WITHOUT_KEY_S, SEED, None, "without-a-key")
    assert outcome.clean, outcome.told


def test_no_secret_is_in_the_logs_of_all_that(stack: Stack) -> None:
    secrets = {
        "the admin key": stack.key,
        "the key of the seal": SETTINGS["TOCSIN_SECRET_KEY"],
        "the key of mails": SETTINGS["TOCSIN_MAIL_KEY"],
        "Slack's token": SETTINGS["TOCSIN_SLACK_TOKEN"],
        "Slack's signing secret": SIGNING_SECRET,
        "the password for SMTP": "password-of-the-fuzz",
        "the secret of a source": SOURCE_SECRET.removeprefix("whsec_"),
        "the secret of a webhook": WEBHOOK_SECRET.removeprefix("whsec_"),
        "the key of a pager": PAGER_SECRET,
    }
    said = "".join(path.read_text(errors="replace") for path in stack.folder.glob("tocsin.log*"))
    assert '"event"' in said, "nothing was logged, so nothing is shown"
    assert [name for name, secret in secrets.items() if secret in said] == []
