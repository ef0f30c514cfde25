"""Email: plain text and HTML in sentences, threaded by a constant subject and References, marked as automatic."""

import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from html import escape

import aiosmtplib

from services.notify.message import Message, Row
from services.notify.model import Purpose
from services.notify.model.commands import Outcome
from services.notify.model.specs import EmailSpec
from services.notify.senders import Parcel
from shared.contracts.mailids import message_id
from shared.smtp import server_of

LAST_WORDS = "This stops when the customer is answered."


class EmailSender:
    """``host`` is the right side of our Message-IDs, ``key`` signs them."""

    def __init__(self, smtp_url: str | None, sender: str, host: str, timeout_s: float, key: bytes = b"") -> None:
        self._server = server_of(smtp_url) if smtp_url else None
        self._sender, self._host, self._timeout_s, self._key = sender, host, timeout_s, key

    async def send(self, parcel: Parcel) -> Outcome:
        if not isinstance(parcel.address, EmailSpec):
            raise TypeError(f"{parcel.address.kind} is not sent by email")
        if self._server is None:
            return Outcome("refused", "SMTP_URL is not set: set it, or reach people by Slack")
        mail = compose(parcel, parcel.address.to, self._sender, self._host, self._key)
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            use_tls=self._server.tls,
            start_tls=self._server.starttls,
            username=self._server.user,
            password=self._server.password,
            timeout=self._timeout_s,
        )
        try:
            await client.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            return _answered(error.code, "it does not accept our user and password: check SMTP_URL")
        except (aiosmtplib.SMTPException, OSError, ssl.SSLError) as error:
            return Outcome("later", f"the mail server cannot be reached: {type(error).__name__}")
        try:
            return await self._hand_over(client, mail, parcel.address.to)
        finally:
            client.close()

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: EmailMessage, to: tuple[str, ...]) -> Outcome:
        try:
            refused, answer = await client.sendmail(self._sender, list(to), mail.as_bytes(policy=SMTP_POLICY))
        except aiosmtplib.SMTPRecipientsRefused as error:
            worst = [each.code for each in error.recipients]
            return _answered(min(worst, default=550), "refuses every recipient: correct the addresses")
        except aiosmtplib.SMTPResponseException as error:
            return _answered(error.code, " ".join(error.message.split())[:200])
        except (aiosmtplib.SMTPException, OSError) as error:
            return Outcome("lost", f"the connection to the mail server broke before its answer: {type(error).__name__}")
        some = f", but not for {', '.join(sorted(refused))}" if refused else ""
        return Outcome("sent", f"the mail server took it{some}", receipt=f"{mail['Message-ID']} {answer}"[:300])

    async def close(self) -> None:
        return None


def _answered(code: int, text: str) -> Outcome:
    """4xx is temporary by the protocol, 5xx permanent."""
    kind = f"the mail server answered {code}: {text}"
    return Outcome("refused", kind) if 500 <= code < 600 else Outcome("later", kind)


def compose(parcel: Parcel, to: tuple[str, ...], sender: str, host: str, key: bytes = b"") -> EmailMessage:
    """The mail. Its Message-ID is the delivery's for every try; its thread is the page's. Both say which case."""
    message = parcel.message
    number = str(message.facts.get("case_number") or "C-0")
    thread = f"<{message_id(number, f'page-{message.page_id}', key, host)}>"
    mail = EmailMessage()
    mail["From"] = Address("Tocsin", addr_spec=sender)
    mail["To"] = ", ".join(to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(parcel.at)
    mail["Message-ID"] = f"<{message_id(number, str(parcel.key), key, host)}>"
    if parcel.members:  # of a digest, whose thread it begins, or goes on in
        thread = message.follows.split()[0] if message.follows else ""
    if thread:
        mail["In-Reply-To"] = thread
        mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if parcel.members:  # of a digest, in the order of its rows
        mail["X-Tocsin-Deliveries"] = " ".join(str(each) for each in parcel.members)
    mail.set_content(plain(message, parcel.act_url))
    mail.add_alternative(html(message, parcel.act_url), subtype="html")
    return mail


def plain(message: Message, act_url: str | None) -> str:
    listed = ["\n".join(line for row in message.rows for line in _lines(row))] if message.rows else None
    parts = [message.headline, *(listed or paragraphs(message))]
    if act_url:
        parts.append(f"{_acknowledge(message)}, so that nobody else is paged:\n{act_url}")
    if message.case_url:
        parts.append(f"Answer the customer:\n{message.case_url}")
    return "\n\n".join([*parts, _last_words(message)]) + "\n"


def _lines(row: Row) -> list[str]:
    said = f"{row.number}: {row.text}{' (over)' if row.over else ''}."
    return [said, f"  {row.url}"] if row.url and not row.over else [said]


def _last_words(message: Message) -> str:
    if message.rows and message.purpose == Purpose.UPDATE:
        return "This was the last mail about them together."
    return "Each of them stops when its customer is answered." if message.rows else LAST_WORDS


_STYLE = (
    ":root{color-scheme:light dark;supported-color-schemes:light dark}"
    "@media (prefers-color-scheme:dark){.ground{background:#0d1117!important;color:#e6edf3!important}"
    ".card{background:#161b22!important;border-color:#3d444d!important}.soft{color:#9198a1!important}"
    ".quote{border-color:#3d444d!important}.second{background:#2a3138!important;color:#e6edf3!important}"
    ".go{background:#c93a31!important}}"
    "@media (max-width:480px){.button{display:block!important;text-align:center!important;margin-right:0!important}"
    ".ground{padding:0!important}.card{border-width:0 0 1px!important;border-radius:0!important}}"
)
_BUTTON = (
    "display:inline-block;margin:4px 8px 4px 0;padding:12px 20px;border-radius:8px;font-weight:600;"
    "text-decoration:none;"
)
_SOFT = "color:#57606a;font-size:14px"


def _acknowledge(message: Message) -> str:
    waiting = sum(row.can_acknowledge for row in message.rows)
    return f"Acknowledge all {waiting}" if waiting > 1 else "Acknowledge"


def paragraphs(message: Message) -> list[str]:
    if message.body is None:
        return list(message.sentences)
    return [" ".join(part.split()) for part in message.body.split("\n\n") if part.strip()]


def html(message: Message, act_url: str | None) -> str:
    """One narrow column, light and dark, no images, nothing loaded from elsewhere."""
    buttons = ""
    if act_url:
        style = f"{_BUTTON}background:#b3261e;color:#ffffff"
        buttons += f'<a class="button go" href="{escape(act_url)}" style="{style}">{_acknowledge(message)}</a>'
    if message.case_url:
        style = f"{_BUTTON}background:#eaeef2;color:#1b1f23"
        buttons += f'<a class="button second" href="{escape(message.case_url)}" style="{style}">Answer the customer</a>'
    quote = f"They wrote: “{message.quote}”"
    lines = () if message.rows else paragraphs(message)
    said = "".join(_quoted(message.quote) if line == quote else _paragraph(line) for line in lines)
    said += "".join(_case(row) for row in message.rows)
    acts = f'<p style="margin:20px 0">{buttons}</p>'
    context = escape(" · ".join(message.context))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(message.headline)}</title><style>{_STYLE}</style></head>"
        '<body class="ground" style="margin:0;padding:16px;background:#f6f7f8;color:#1b1f23;'
        "font:16px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif\">"
        '<div class="card" style="max-width:560px;margin:0 auto;padding:24px 20px;background:#ffffff;'
        'border:1px solid #d8dee4;border-radius:12px">'
        '<h1 style="margin:0 0 4px;font-size:21px;line-height:1.3;overflow-wrap:anywhere">'
        f'{escape(message.headline)}</h1><p class="soft" style="margin:0 0 16px;{_SOFT}">{context}</p>'
        f"{acts + said if message.rows else said + acts}"  # a digest is long
        f'<p class="soft" style="margin:0;{_SOFT}">{_last_words(message)}</p></div></body></html>'
    )


def _paragraph(line: str) -> str:
    return f'<p style="margin:0 0 12px;overflow-wrap:anywhere">{escape(line)}</p>'


def _case(row: Row) -> str:
    number = escape(row.number)
    name = f'<a href="{escape(row.url)}" style="color:inherit;font-weight:600">{number}</a>' if row.url else number
    text = f"<s>{escape(row.text)}</s>" if row.over else escape(row.text)
    return f'<p style="margin:0 0 8px;overflow-wrap:anywhere">{name} {text}</p>'


def _quoted(words: str | None) -> str:
    style = "margin:0 0 12px;padding:2px 0 2px 12px;border-left:3px solid #d8dee4;overflow-wrap:anywhere"
    return f'<blockquote class="quote" style="{style}">{escape(words or "")}</blockquote>'
