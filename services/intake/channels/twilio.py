"""Twilio Voice: the callbacks of calls, recordings and transcriptions. Pure.

https://www.twilio.com/docs/usage/webhooks/voice-webhooks
"""

from datetime import timedelta

from services.intake.channels import phone, signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Ignored, Unreadable
from services.intake.channels.shape import Shape, activity, contact
from services.intake.model.sources import SourceSpec
from shared.contracts.words import ActivityKind, Channel

_UNDER_WAY = ("queued", "initiated", "ringing", "in-progress")
_NOT_REACHED = {"no-answer": "missed", "busy": "busy", "failed": "failed", "canceled": "missed"}
# What stands for a number that is withheld: https://help.twilio.com/articles/223179988
_WITHHELD = ("+266696687", "+7378742833", "+2562533", "+8566696", "+86282452253")


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...] | Ignored:
    fields = signatures.form(delivery.body)
    if fields is None:
        raise Unreadable("the body is no form")
    call = Shape(dict(fields))
    if call.text("TranscriptionSid") or call.text("TranscriptionText"):
        return _transcribed(call, received)
    if call.text("RecordingStatus"):
        return _recorded(call, received)
    if not call.text("CallStatus"):
        return Ignored("a callback that is of no call")
    return _over(call, received)


def _over(call: Shape, received: Received) -> tuple[Draft, ...] | Ignored:
    status, direction = call.text("CallStatus"), call.text("Direction")
    if status in _UNDER_WAY:
        return Ignored(f"a call that is {status}")
    if status != "completed" and status not in _NOT_REACHED:
        raise Unreadable(f"CallStatus is {status[:40]!r}")
    if direction.startswith("outbound"):
        return _outbound(call, received)
    number = _number(call.text("From"))
    seconds = _seconds(call)
    outcome = _NOT_REACHED.get(status, "completed")
    over = call.moment("Timestamp") or received.at
    return (
        contact(
            received,
            over - timedelta(seconds=seconds or 0),
            channel=Channel.PHONE,
            external_id=call.need("CallSid"),
            thread=call.need("CallSid"),
            customer={"phone": number, "name": call.text("CallerName"), "country": call.text("FromCountry")},
            subject=phone.title(outcome, number, seconds),
            attributes=phone.facts(outcome, call.text("To") or None, seconds, call.text("RecordingUrl") or None),
        ),
    )


def _outbound(call: Shape, received: Received) -> tuple[Draft, ...] | Ignored:
    """The leg by which an inbound call was put through to somebody; a call out of the blue is about no case."""
    parent = call.text("ParentCallSid")
    if not parent:
        return Ignored("an outbound call that belongs to no other")
    if call.text("CallStatus") != "completed":
        return Ignored("a leg that nobody answered")
    over = call.moment("Timestamp") or received.at
    return (
        activity(
            received,
            over - timedelta(seconds=_seconds(call) or 0),
            text="Answered the call.",
            kind=ActivityKind.AGENT_REPLIED,
            thread=parent,
            external_id=call.need("CallSid"),
            actor=call.text("To"),
        ),
    )


def _recorded(call: Shape, received: Received) -> tuple[Draft, ...] | Ignored:
    if call.text("RecordingStatus") != "completed":
        return Ignored(f"a recording that is {call.text('RecordingStatus')[:40]}")
    return (_note(call, received, f"Recording: {call.need('RecordingUrl')}", call.need("RecordingSid")),)


def _transcribed(call: Shape, received: Received) -> tuple[Draft, ...] | Ignored:
    if call.text("TranscriptionStatus") not in ("completed", ""):
        return Ignored(f"a transcription that is {call.text('TranscriptionStatus')[:40]}")
    text = f"Transcript:\n\n{call.need('TranscriptionText')}"
    return (_note(call, received, text, call.need("TranscriptionSid")),)


def _note(call: Shape, received: Received, text: str, mark: str) -> Draft:
    return activity(
        received,
        call.moment("RecordingStartTime"),
        text=text,
        kind=ActivityKind.NOTE_ADDED,
        thread=call.need("CallSid"),
        external_id=mark,
        automated=True,
    )


def _number(given: str) -> str | None:
    """The caller's; None where it is withheld, or no telephone."""
    return given if given.startswith("+") and given not in _WITHHELD else None


def _seconds(call: Shape) -> int | None:
    text = call.text("CallDuration")
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 8 else None


HOOK = Hook(Channel.PHONE, signatures.twilio, signatures.any_secret, _read)
