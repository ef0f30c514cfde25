"""A web form. Pure. Fields that say who and what become the contact, all others its attributes; nothing is left out."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from services.intake.channels import signatures
from services.intake.channels.adapter import Received
from services.intake.channels.hook import Delivery, Draft, Hook, Posted, Unreadable
from services.intake.channels.shape import bounded, cleaned, contact, lenient, parsed, scalar
from services.intake.model import excerpt
from services.intake.model.posted import Identifier, Moment, Source, Tags, Url
from services.intake.model.sources import SourceSpec
from shared.contracts.spec import Strict
from shared.contracts.words import Channel

FORM_LIMIT = 500  # fields of a form
VALUE_LIMIT = 2_000  # characters of one attribute; a longer one goes to the body

# What forms call these fields, without case, spaces and punctuation. A source may name others.
_CALLED: dict[str, tuple[str, ...]] = {
    "email": ("email", "emailaddress", "mail", "youremail", "youremailaddress", "contactemail", "workemail"),
    "name": ("name", "fullname", "yourname", "contactname", "customername"),
    "phone": ("phone", "phonenumber", "tel", "telephone", "mobile", "yourphone"),
    "subject": ("subject", "yoursubject", "title", "topic", "summary"),
    "body": ("message", "yourmessage", "body", "description", "comment", "comments", "question", "details", "text"),
    "reason": ("reason", "contactreason", "category"),
    "country": ("country", "countrycode"),
    "language": ("language", "locale", "lang"),
    "id": ("customerid", "accountid", "userid"),
}
_FIELD_OF = {called: field for field, names in _CALLED.items() for called in names}


class FormSubmission(Strict, Posted):
    """One submission of a form, the fields as the page names them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "sub-9001",
                    "source": "website",
                    "form": "contact-us",
                    "url": "https://www.example.com/contact",
                    "submitted_at": "2026-11-22T07:03:00Z",
                    "fields": {
                        "Your name": "A",
                        "E-mail": "a@b.example",
                        "Subject": "Payout missing",
                        "Message": "We expected our payout on Friday.",
                        "Order number": "10442",
                    },
                }
            ]
        }
    )

    id: Identifier | None = Field(None, description="Of the submission, in its source; the same again is the same one")
    source: Source | None = None
    form: Annotated[str, Field(max_length=200)] | None = None
    url: Url | None = Field(None, description="The page that the form is on")
    submitted_at: Moment | None = None
    tags: Tags = ()
    fields: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=FORM_LIMIT)]

    def drafts(self, received: Received, source: SourceSpec) -> tuple[Draft, ...]:
        return (self._contact(received, source),)

    def _contact(self, received: Received, source: SourceSpec) -> Draft:
        known, others = _sorted(self.fields, source.fields)
        if self.form:
            others["form"] = self.form
        if self.url:
            others["form_url"] = self.url
        attributes, rest = bounded(others)
        body = [known.get("body", ""), *(f"{name}: {_words(value)}" for name, value in rest.items())]
        return contact(
            received,
            self.submitted_at,
            channel=Channel.WEB,
            external_id=self.id,
            thread=self.id,
            customer={name: known.get(name) for name in ("id", "email", "phone", "name", "country")},
            subject=known.get("subject") or excerpt(known.get("body", ""))[:120],
            body="\n".join(part for part in body if part),
            language=known.get("language"),
            reason=known.get("reason"),
            tags=self.tags,
            attributes=attributes,
        )


def _sorted(fields: Mapping[str, JsonValue], named: Mapping[str, str]) -> tuple[dict[str, str], dict[str, JsonValue]]:
    """What became a field of the contact, and what becomes attributes. The first of several wins."""
    own = {called: field for field, called in named.items()}
    known: dict[str, str] = {}
    others: dict[str, JsonValue] = {}
    for name, value in fields.items():
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        field = own.get(name.strip()) or (None if _FIELD_OF.get(plain) in named else _FIELD_OF.get(plain))
        text = scalar(value)
        if field and text and field not in known:
            known[field] = text
        elif text or value:
            others[name] = value if _is_plain(value) else _words(value)
    country = known.get("country", "")
    if country and len(country) != 2:  # a name and no code
        others["country"] = known.pop("country")
    return known, others


def _is_plain(value: JsonValue) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= VALUE_LIMIT)


def _words(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_words(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items())
    return scalar(value)


def _read(delivery: Delivery, received: Received, source: SourceSpec) -> tuple[Draft, ...]:
    """Our own document, or any flat form as pages and form services send it: JSON, or form-encoded."""
    form_encoded = delivery.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    value = _fields(delivery.body) if form_encoded else cleaned(parsed(delivery.body))
    if not isinstance(value, dict):
        raise Unreadable("the body is no JSON object")
    if not isinstance(value.get("fields"), dict):
        mark = delivery.headers.get("webhook-id") or sha256(delivery.body).hexdigest()
        value = {"id": mark[:300], "fields": value}
    return lenient(FormSubmission, value).drafts(received, source)


def _fields(body: bytes) -> dict[str, str]:
    """What is chosen several times stands in one field, with commas."""
    fields = signatures.form(body)
    if fields is None:
        raise Unreadable("the body is no form")
    several: dict[str, list[str]] = {}
    for name, text in fields:
        several.setdefault(name, []).append(text)
    return {name: ", ".join(texts) for name, texts in several.items()}


HOOK = Hook(Channel.WEB, signatures.standard, signatures.standard_secret, _read, FormSubmission)
