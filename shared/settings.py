"""Every setting and every limit, named once. Read from the environment, prefix ``TOCSIN_``.

A secret may also come from a file: ``TOCSIN_SMTP_URL_FILE=/run/secrets/smtp_url``.
"""

import os
import re
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

PREFIX = "TOCSIN_"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class _SecretFiles(PydanticBaseSettingsSource):
    """``<prefix>X_FILE`` gives the value of ``x`` from a file."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        prefix = self.settings_cls.model_config.get("env_prefix", PREFIX)
        path = os.environ.get(f"{prefix}{field_name.upper()}_FILE")
        return (Path(path).read_text().strip() if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class FromEnvironment(BaseSettings):
    """Settings from the environment, each also from a file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)


class Settings(FromEnvironment):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    # Where things are
    database_url: SecretStr | None = None  # unset: embedded Postgres under data_dir
    auth_database_url: SecretStr | None = None  # where services have databases apart
    log_url: str | None = None  # unset: the Postgres log; kafka://host:port,…
    data_dir: Path = Path(".tocsin")
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    trusted_proxies: str = ""  # networks of proxies whose X-Forwarded-For is believed: 10.0.0.0/8,192.0.2.7
    public_url: str | None = None  # how people reach us; http://127.0.0.1:<port> where unset

    # Kafka
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_cafile: Path | None = None
    kafka_topic_prefix: str = "tocsin."
    kafka_partitions: int = Field(8, ge=1, le=1024)  # never changes once topics exist
    kafka_replication: int = Field(1, ge=1, le=9)

    # Outside
    slack_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_api_url: str = "https://slack.com/api/"
    smtp_url: SecretStr | None = None  # smtp://user:password@host:port or smtps://…
    smtp_from: str = "tocsin@localhost"
    calendar_fetch_s: float = Field(900.0, ge=60)  # between two fetches of a calendar that a schedule reads
    look_ahead_days: int = Field(30, ge=1, le=366)  # how far ahead gaps on call are looked for
    mailboxes: str = ""  # our addresses, comma-separated: what comes from one of them is no customer's
    agents: str = ""  # addresses and domains of ours, comma-separated: ana@acme.example,acme.example
    mail_key: SecretStr | None = None  # signs our Message-IDs and case tokens; unset: made once, kept in auth
    catch_all: str = "console"  # a destination's name: where an exhausted page goes
    admin_key: SecretStr | None = None
    api_key: SecretStr | None = None  # that our own commands call the API with; admin_key where unset
    secret_key: SecretStr | None = None  # seals stored secrets; several by commas: the first seals, all open
    egress_allow: str = (
        ""  # networks and hosts inside ours that configured URLs may lead to: 10.1.0.0/16,hooks.internal
    )

    # Redaction in intake, beside card numbers
    redact: str = "all"  # kinds: all, none, or names with commas
    redact_patterns: dict[str, str] = {}  # a team's own: name → pattern of RE2, as JSON

    # Limits
    body_limit: int = 1_048_576  # bytes of one request, but for batches and raw email
    ruleset_body_limit: int = 300_000  # a ruleset is taken in at once, however it is written
    batch_body_limit: int = 64 * 1_048_576
    email_body_limit: int = 26_214_400
    rate_limit: int = 20_000  # requests a minute for one key, per process
    accept_queue: int = Field(1_000, ge=1)  # requests that may wait to be committed; one more is told to repeat
    accept_queue_bytes: int = Field(64 * 1_048_576, ge=1)
    accept_wait_s: float = Field(5.0, gt=0)  # how long a request may wait for its commit
    batch_size: int = 500
    poll_timeout_s: float = 0.25
    tick_s: float = 0.25  # the ticker's longest sleep
    relay_sleep_s: float = 0.1  # the relay's longest sleep
    lease_s: float = 5.0
    fire_grace_s: float = 30.0  # how long a due timer waits for unread events
    send_timeout_s: float = 10.0
    send_concurrency: int = 128
    drain_s: float = 10.0  # graceful stop
    stall_s: float = 60.0  # a loop without progress for this long is not alive

    # Retention
    log_days: int = 30
    inbox_days: int = 45  # longer than the log, so that a redelivery is always recognized
    idempotency_days: int = 7

    # Telemetry
    log_level: str = "INFO"
    otlp_endpoint: str | None = None  # traces are off where unset

    @field_validator("database_url", "auth_database_url")
    @classmethod
    def _async_driver(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        text = url.get_secret_value()
        for plain in ("postgres://", "postgresql://"):
            if text.startswith(plain):
                return SecretStr("postgresql+asyncpg://" + text.removeprefix(plain))
        if not text.startswith("postgresql+asyncpg://"):
            raise ValueError("write a Postgres URL, for example postgresql://user:password@host:5432/tocsin")
        return url

    @field_validator("public_url", "slack_api_url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is None or _is_web_address(url):
            return url
        raise ValueError("write an address such as https://tocsin.acme.example")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, level: str) -> str:
        if level.upper() in LOG_LEVELS:
            return level
        raise ValueError(f"write one of {', '.join(LOG_LEVELS)}")

    @field_validator("egress_allow")
    @classmethod
    def _networks(cls, allow: str) -> str:
        for each in (each.strip() for each in allow.split(",")):
            try:
                _ = ip_network(each, strict=False) if "/" in each else None
            except ValueError:
                raise ValueError(f"{each!r} is no network: write 10.1.0.0/16, or the name of a host") from None
        return allow

    @field_validator("log_url")
    @classmethod
    def _kafka_url(cls, url: str | None) -> str | None:
        if url and not url.startswith("kafka://"):
            raise ValueError("write kafka://host:port,host:port, or leave it unset for the log in Postgres")
        return url or None

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, written: str) -> str:
        for each in filter(None, map(str.strip, written.split(","))):
            try:
                ip_network(each, strict=False)  # not *: then anybody could write any address
            except ValueError:
                raise ValueError(f"{each!r} is no network: write 10.0.0.0/8 or 192.0.2.7") from None
        return written

    def model_post_init(self, _context: Any) -> None:
        if self.inbox_days <= self.log_days:
            raise ValueError(
                "TOCSIN_INBOX_DAYS must be greater than TOCSIN_LOG_DAYS: an inbox shorter than the log repeats effects"
            )

    @property
    def bootstrap_servers(self) -> str:
        return (self.log_url or "").removeprefix("kafka://").rstrip("/")

    @property
    def url(self) -> str:
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def mail_secret(self) -> bytes:
        return self.mail_key.get_secret_value().encode() if self.mail_key else b""

    @property
    def fire_grace(self) -> timedelta:
        return timedelta(seconds=self.fire_grace_s)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def read_settings() -> Settings:
    """From the environment. What cannot be read ends the process: a line for each, which never has the value."""
    try:
        return Settings()
    except ValidationError as wrong:
        problems = wrong.errors(include_url=False, include_context=False, include_input=False)
        lines = [_problem("_".join(map(str, each["loc"])), each["msg"]) for each in problems]
    except SettingsError as wrong:  # of JSON that is none; its text names the field
        found = re.search(r'field "(\w+)"', str(wrong))
        lines = [_problem(found[1] if found else "", "write it as JSON")]
    except OSError as wrong:
        lines = [f"A setting's file cannot be read: {wrong.filename}: {wrong.strerror}."]
    raise SystemExit("\n".join(f"tocsin: {line}" for line in lines))


def _problem(name: str, text: str) -> str:
    text = text.removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}: {text}." if name else f"{text}."
