"""Each sender against a real counterpart: what it says, and what it makes of every answer."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from services.notify.message import Message, build
from services.notify.model import CaseState
from services.notify.model.specs import AnyDestination, ConsoleSpec, EmailSpec, SlackSpec, WebhookSpec
from services.notify.senders import Parcel
from services.notify.senders.answers import LONGEST_WAIT, of_status, waiting
from services.notify.senders.console import ConsoleSender
from services.notify.senders.email import EmailSender
from services.notify.senders.posting import Poster
from services.notify.senders.slack import SlackSender
from services.notify.senders.webhook import WebhookSender
from shared.clock import SystemClock
from shared.egress import Egress
from shared.smtp import server_of
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail, Mode
from tests.unit.notify.given import CASE, World, breached, configuration

NOW = SystemClock().now()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = UUID(int=42)
CHANNEL = SlackSpec(kind="slack", channel="#x")
DESK = EmailSpec(kind="email", to=("desk@example.com", "night@example.com"))


def message() -> Message:
    world = World(state=CaseState(CASE, configuration())).tell(breached())
    [delivery] = world.waiting()
    world.claim(delivery)
    return build(world.state, world.state.deliveries[delivery.id], world.now)


def parcel(address: AnyDestination, at: datetime = NOW) -> Parcel:
    return Parcel(KEY, message(), address, "https://tocsin.example/act", at)


@contextlib.asynccontextmanager
async def slack_sender(url: str, token: str | None = "xoxb-1") -> AsyncIterator[SlackSender]:
    sender = SlackSender(token, url, 0.5)
    yield sender
    await sender.close()


async def test_slack_takes_the_message_with_our_key_in_its_metadata(slack: Slack) -> None:
    async with slack_sender(slack.url) as sender:
        outcome = await sender.send(parcel(CHANNEL))
    assert (outcome.kind, slack.refused) == ("sent", [])
    assert (outcome.receipt or "").startswith("#x/")
    assert [(post.channel, post.delivery_id) for post in slack.posts] == [("#x", str(KEY))]


@pytest.mark.parametrize(
    ("mode", "kind", "posts"),
    [("429", "later", 0), ("500", "later", 0), ("drop_before", "lost", 0), ("drop_after", "lost", 1)],
)
async def test_what_slack_does_instead_of_an_answer(slack: Slack, mode: Any, kind: str, posts: int) -> None:
    slack.behave(mode, retry_after=7)
    async with slack_sender(slack.url) as sender:
        outcome = await sender.send(parcel(CHANNEL))
    assert (outcome.kind, len(slack.posts), slack.calls) == (kind, posts, 1), "the client's own retries are off"
    assert outcome.retry_after == (timedelta(seconds=7) if mode == "429" else None)


@pytest.mark.parametrize(("token", "advice"), [(None, "set it"), ("nonsense", "check SLACK_TOKEN")])
async def test_a_token_that_does_not_work_is_refused_with_what_to_do(
    slack: Slack, token: str | None, advice: str
) -> None:
    async with slack_sender(slack.url, token) as sender:
        outcome = await sender.send(parcel(CHANNEL))
    assert outcome.kind == "refused"
    assert advice in outcome.detail


async def test_slack_that_is_not_there_was_not_reached() -> None:
    async with slack_sender("http://127.0.0.1:9/api/") as sender:
        assert (await sender.send(parcel(CHANNEL))).kind == "later"


async def test_a_mail_reaches_every_recipient(mail: Mail) -> None:
    outcome = await EmailSender(mail.url, "tocsin@example.com", "tocsin.example", 2).send(parcel(DESK))
    assert outcome.kind == "sent"
    [arrived] = mail.inbox
    assert arrived["to"] == ["desk@example.com", "night@example.com"]
    assert str(KEY) in arrived["headers"]["message-id"]
    assert arrived["headers"]["auto-submitted"] == "auto-generated"
    assert arrived["plain"].startswith("First reply under 1 s late: Payout missing")
    assert "https://tocsin.example/act" in arrived["html"]


@pytest.mark.parametrize(
    ("mode", "kind"), [("451", "later"), ("550", "refused"), ("drop_before", "lost"), ("drop_after", "lost")]
)
async def test_what_a_mail_server_does_instead_of_taking_it(mail: Mail, mode: Mode, kind: str) -> None:
    mail.mode = mode
    outcome = await EmailSender(mail.url, "tocsin@example.com", "tocsin.example", 2).send(parcel(DESK))
    assert outcome.kind == kind, outcome


async def test_a_mail_server_that_is_not_there_or_not_set() -> None:
    assert (await EmailSender("smtp://127.0.0.1:9", "t@example.com", "h", 1).send(parcel(DESK))).kind == "later"
    assert (await EmailSender(None, "t@example.com", "h", 1).send(parcel(DESK))).kind == "refused"


def test_the_url_of_a_mail_server() -> None:
    found = server_of("smtps://us%40er:p%2Fw@mail.example")
    assert (found.host, found.port, found.tls, found.user, found.password) == (
        "mail.example",
        465,
        True,
        "us@er",
        "p/w",
    )
    assert server_of("smtp://u:p@h").port == 587
    assert server_of("smtp://h:1025?starttls=never").starttls is False
    with pytest.raises(ValueError, match="write smtp://"):
        server_of("http://h")


HERE = Egress("127.0.0.0/8")


class Hook:
    """A webhook's endpoint: what it was sent, and what it answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers = 200, dict[str, str]()
        self.size, self.connections = 100_000, set[object]()

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        self.connections.add(request.transport)
        return web.Response(status=self.status, headers=self.headers, text="x" * self.size)


@pytest.fixture
async def hook() -> AsyncIterator[tuple[Hook, WebhookSpec]]:
    found, app = Hook(), web.Application()
    app.router.add_post("/{name:in|chat.postMessage}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield found, WebhookSpec(kind="webhook", url=f"http://127.0.0.1:{runner.addresses[0][1]}/in", secret=SECRET)
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "type_", "kind"),
    [(200, "html", "later"), (502, "html", "later"), (404, "html", "refused"), (502, "plain", "later")],
)
async def test_an_answer_that_is_not_slacks_is_no_lost_answer(
    hook: tuple[Hook, WebhookSpec], status: int, type_: str, kind: str
) -> None:
    """A proxy in between answers: the message did not arrive, and nobody need think that it did."""
    endpoint, spec = hook
    endpoint.status, endpoint.headers = status, {"Content-Type": f"text/{type_}"}
    async with slack_sender(spec.url.removesuffix("/in") + "/") as sender:
        assert (await sender.send(parcel(CHANNEL))).kind == kind


async def test_a_webhook_is_verified_by_the_standard_library_from_any_zone(hook: tuple[Hook, WebhookSpec]) -> None:
    endpoint, spec = hook
    sender = WebhookSender(Poster(2, HERE))
    elsewhere = SystemClock().now().astimezone(timezone(timedelta(hours=9)))
    assert (await sender.send(parcel(spec, elsewhere))).kind == "sent"
    await sender.close()
    [(headers, body)] = endpoint.requests
    verified = Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == str(KEY)
    assert verified["type"] == "page.call"
    assert verified["data"]["case_number"] == "C-4812"
    assert verified["data"]["headline"] == "First reply under 1 s late: Payout missing"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "wait"),
    [
        (302, {"Location": "http://127.0.0.1/"}, "refused", None),
        (400, {}, "refused", None),
        (410, {}, "refused", None),
        (429, {}, "later", 30),
        (429, {"Retry-After": "12"}, "later", 12),
        (503, {"Retry-After": "3"}, "later", 3),
        (500, {}, "later", None),
    ],
)
async def test_what_a_webhook_answers(
    hook: tuple[Hook, WebhookSpec], status: int, headers: dict[str, str], kind: str, wait: int | None
) -> None:
    endpoint, spec = hook
    endpoint.status, endpoint.headers = status, headers
    sender = WebhookSender(Poster(2, HERE))
    outcome = await sender.send(parcel(spec))
    await sender.close()
    assert (outcome.kind, outcome.retry_after) == (kind, timedelta(seconds=wait) if wait else None)
    assert len(endpoint.requests) == 1


async def test_messages_that_follow_take_the_connection_that_is_there(hook: tuple[Hook, WebhookSpec]) -> None:
    endpoint, spec = hook
    endpoint.size = 1_000
    sender = WebhookSender(Poster(2, HERE))
    assert [(await sender.send(parcel(spec))).kind for _ in range(5)] == ["sent"] * 5
    await sender.close()
    assert len(endpoint.requests) == 5
    assert len(endpoint.connections) == 1


async def test_a_webhook_that_is_not_there() -> None:
    sender = WebhookSender(Poster(1, HERE))
    spec = WebhookSpec(kind="webhook", url="http://127.0.0.1:9/", secret=SECRET)
    assert (await sender.send(parcel(spec))).kind == "later"
    await sender.close()


async def test_the_console_draws_and_a_terminal_that_is_gone_is_tried_again() -> None:
    drawn: list[str] = []
    console = parcel(ConsoleSpec(kind="console"))
    assert (await ConsoleSender(drawn.append).send(console)).kind == "sent"
    assert "First reply under 1 s late: Payout missing" in drawn[0]

    def gone(_text: str) -> None:
        raise BrokenPipeError

    assert (await ConsoleSender(gone).send(console)).kind == "later"


@given(st.text(max_size=60))
def test_whatever_retry_after_says_the_wait_is_bounded(text: str) -> None:
    wait = waiting(text, NOW)
    assert wait is None or timedelta(0) <= wait <= LONGEST_WAIT


def test_retry_after_as_a_date() -> None:
    now = datetime(2026, 11, 22, 2, 3, tzinfo=UTC)
    assert waiting("Sun, 22 Nov 2026 02:04:00 GMT", now) == timedelta(minutes=1)
    assert waiting("Sun, 22 Nov 2026 02:00:00 GMT", now) == timedelta(0)
    assert of_status("x", 204, None, now) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "[::ffff:127.0.0.1]"])
async def test_a_webhook_inside_our_network_is_not_called_unless_it_is_allowed(
    hook: tuple[Hook, WebhookSpec], host: str
) -> None:
    endpoint, spec = hook
    sender = WebhookSender(Poster(2, Egress()))
    outcome = await sender.send(parcel(spec.model_copy(update={"url": spec.url.replace("127.0.0.1", host)})))
    await sender.close()
    assert outcome.kind == "refused"
    assert "TOCSIN_EGRESS_ALLOW" in outcome.detail or "Write it as four numbers" in outcome.detail
    assert endpoint.connections == set()
