"""Mail that a machine wrote: answers of absent people, bulk mail, delivery reports (CASES 37). Pure.

It is kept on its case and starts or stops no promise.
"""

from services.intake.channels.mime import Headers
from services.intake.channels.words import header

_BULK = frozenset(("bulk", "junk", "auto_reply", "auto-reply"))
_SUPPRESS = frozenset(("all", "oof", "autoreply"))
_TELLING = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply-from", "x-loop")
_ROBOTS = ("mailer-daemon@", "postmaster@")


def reason(headers: Headers, sender: str | None, mailbox: str) -> str | None:
    """How we know that a machine wrote it, in plain words; None for a person's mail."""
    submitted = _word(headers, "auto-submitted")
    if submitted and submitted != "no":
        return f"Auto-Submitted: {submitted}"
    if _word(headers, "content-type") == "multipart/report":
        return "a delivery report"
    if "return-path" in headers and header(headers.first("return-path")).strip() == "<>":
        return "an empty Return-Path"
    if sender and (sender == mailbox or sender.startswith(_ROBOTS)):
        return f"sent by {'this mailbox itself' if sender == mailbox else sender}"
    if _word(headers, "precedence") in _BULK:
        return f"Precedence: {_word(headers, 'precedence')}"
    if _SUPPRESS & {each.strip().lower() for each in header(headers.first("x-auto-response-suppress")).split(",")}:
        return "X-Auto-Response-Suppress"
    for name in _TELLING:
        if name in headers:
            return name.title()
    if ("list-id" in headers or "list-unsubscribe" in headers) and not _own_list(headers, mailbox):
        return "a mailing list"
    return None


def _word(headers: Headers, name: str) -> str:
    """The first word of a field, in lower case."""
    words = header(headers.first(name)).replace(";", " ").lower().split()
    return words[0] if words else ""


def _own_list(headers: Headers, mailbox: str) -> bool:
    """A support address is often a group: what comes through it is customers' mail."""
    if not mailbox:
        return False
    list_id = header(headers.first("list-id")).lower()
    return mailbox.replace("@", ".") in list_id or f":{mailbox}>" in header(headers.first("list-post")).lower()
