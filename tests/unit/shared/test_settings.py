"""A setting that cannot be used ends the start in a line that names it and says what to write; its value stays out."""

import pytest

from services.intake.channels.adapter import Own
from shared.settings import read_settings
from shared.smtp import server_of


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOG_URL", "amqp://secret@h", "TOCSIN_LOG_URL: write kafka://host:port"),
        ("LOG_LEVEL", "loud-secret", "TOCSIN_LOG_LEVEL: write one of DEBUG"),
        ("PUBLIC_URL", "https://[secret", "TOCSIN_PUBLIC_URL: write an address"),
        ("PUBLIC_URL", "tocsin.secret.example", "TOCSIN_PUBLIC_URL: write an address"),
        ("SLACK_API_URL", "https://h:secret", "TOCSIN_SLACK_API_URL: write an address"),
        ("DATABASE_URL", "mysql://u:secret@h", "TOCSIN_DATABASE_URL: write a Postgres URL"),
        ("EGRESS_ALLOW", "hooks.internal,10.1.0.0/99", "TOCSIN_EGRESS_ALLOW: '10.1.0.0/99' is no network"),
        ("TRUSTED_PROXIES", "*", "TOCSIN_TRUSTED_PROXIES: '*' is no network: write 10.0.0.0/8"),
        ("REDACT_PATTERNS", "{secret", "TOCSIN_REDACT_PATTERNS: write it as JSON"),
        ("ACCEPT_QUEUE", "0", "TOCSIN_ACCEPT_QUEUE: Input should be greater"),
        ("PORT", "secret", "TOCSIN_PORT: Input should be a valid integer"),
        ("SMTP_URL_FILE", "/nowhere/at-all", "A setting's file cannot be read: /nowhere/at-all"),
        ("INBOX_DAYS", "1", "TOCSIN_INBOX_DAYS must be greater than TOCSIN_LOG_DAYS"),
    ],
)
def test_what_cannot_be_read_ends_the_start_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"TOCSIN_{name}", value)
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert str(ended.value).startswith(f"tocsin: {said}")
    assert "\n" not in str(ended.value)
    assert "secret" not in str(ended.value)


def test_each_wrong_setting_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "no")
    monkeypatch.setenv("TOCSIN_LOG_LEVEL", "loud")
    with pytest.raises(SystemExit) as ended:
        read_settings()
    assert sorted(line.split(":")[1].strip() for line in str(ended.value).splitlines()) == [
        *("TOCSIN_LOG_LEVEL", "TOCSIN_PORT"),
    ]


@pytest.mark.parametrize(
    ("mailboxes", "agents", "said"),
    [
        ("help@acme.example,foo", "", "TOCSIN_MAILBOXES: 'foo' is no address. Write help@acme.example"),
        ("", "ana@acme.example,@@", "TOCSIN_AGENTS: '@@' is no address. Write"),
        ("", "acme example", "TOCSIN_AGENTS: 'acme example' is no domain. Write acme.example"),
    ],
)
def test_addresses_of_ours_that_are_none_are_named(mailboxes: str, agents: str, said: str) -> None:
    with pytest.raises(ValueError, match="TOCSIN") as wrong:
        Own.of(mailboxes, agents, b"")
    assert str(wrong.value).startswith(said)


@pytest.mark.parametrize("url", ["nonsense", "smtp://host:port", "http://h", "smtp://[bad"])
def test_a_mail_server_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^SMTP_URL: write smtp://user:password@host:port or smtps://…$"):
        server_of(url)
