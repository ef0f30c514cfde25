"""What the watcher is told, from the environment, prefix ``TOCSIN_WATCH_``; each also from a file by ``…_FILE``."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import PREFIX, FromEnvironment

WATCH_PREFIX = f"{PREFIX}WATCH_"


class WatchSettings(FromEnvironment):
    model_config = SettingsConfigDict(env_prefix=WATCH_PREFIX, frozen=True, extra="ignore")

    server: str = "http://127.0.0.1:8080"  # the Tocsin that is watched: its gateway, where services run apart
    key: SecretStr  # with the scopes contacts:write and read; config:write as well to set up
    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)  # where pages, and Prometheus, come to the watcher
    callback: str | None = None  # how notify reaches it; http://HOST:PORT where unset
    state: Path = Path(".tocsin-watch.json")  # what it must know after a restart

    every_s: float = Field(60.0, gt=0)
    within_s: float = Field(30.0, gt=0)  # a page must have come by then
    failures: int = Field(2, ge=1)  # rounds in a row that fail before people are called
    repeat_s: float = Field(3_600.0, gt=0)  # they are called again after so long

    ping_url: str | None = None  # asked after each success: a dead-man's switch elsewhere
    slack_url: SecretStr | None = None  # an incoming webhook of Slack
    webhook_url: SecretStr | None = None  # POST {"state", "hop", "text", "at"}
    smtp_url: SecretStr | None = None
    mail_to: str = ""  # addresses, with commas
    mail_from: str = "tocsin-watch@localhost"

    @property
    def own_url(self) -> str:
        return (self.callback or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def recipients(self) -> list[str]:
        return [each.strip() for each in self.mail_to.split(",") if each.strip()]

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.within_s > self.every_s:
            raise ValueError("WITHIN_S must not be more than EVERY_S: one round ends before the next begins")
        if not (self.slack_url or self.webhook_url or (self.smtp_url and self.recipients)):
            raise ValueError(
                "name a way to call people that is not Tocsin's: TOCSIN_WATCH_SLACK_URL, TOCSIN_WATCH_WEBHOOK_URL,"
                " or TOCSIN_WATCH_SMTP_URL with TOCSIN_WATCH_MAIL_TO"
            )
        return self
