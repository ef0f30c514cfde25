"""One running Tocsin with secrets of its own, furnished, for all that is done to its routes here."""

from collections.abc import Iterator

import pytest

from tests.e2e.client import Client
from tests.e2e.stack import Embedded, Stack
from tests.hostile.run import furnish

SETTINGS = {
    "TOCSIN_LOG_LEVEL": "DEBUG",
    "TOCSIN_SECRET_KEY": "seals what the fuzz stores",
    "TOCSIN_MAIL_KEY": "signs what the fuzz mails",
    "TOCSIN_SLACK_TOKEN": "xoxb-0123456789-of-the-fuzz",
    "TOCSIN_SMTP_URL": "smtp://mailer:password-of-the-fuzz@127.0.0.1:9",  # nobody listens: a failure to tell of
    "TOCSIN_TRUSTED_PROXIES": "127.0.0.1",
    "TOCSIN_EGRESS_ALLOW": "",
}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with Embedded(SETTINGS) as running:
        furnish(running)
        yield running


@pytest.fixture
def tocsin(stack: Stack) -> Client:
    return stack.client()
