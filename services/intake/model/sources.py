"""What an admin writes about a source: a system that sends webhooks, and what holds for all it sends. Pure."""

from string import Formatter
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from services.intake.model.posted import Attributes, Tag
from shared.contracts.spec import Label, Spec

SECRETS_LIMIT = 5  # in force at once, while one replaces another
TAGS_LIMIT = 20
FIELDS_LIMIT = 20
TEMPLATE_LIMIT = 1_000  # characters

URL_NAMES = ("thread", "external_id")
FORM_FIELDS = ("body", "country", "email", "id", "language", "name", "phone", "reason", "subject")


def _template(url: str) -> str:
    if not url.lower().startswith(("https://", "http://")):
        raise ValueError("write an address that begins with https:// or http://")
    try:
        parts = list(Formatter().parse(url))
    except ValueError:
        raise ValueError("a { or } stands alone; write {thread} or {external_id}") from None
    if any(name is not None and (name not in URL_NAMES or spec or conversion) for _, name, spec, conversion in parts):
        raise ValueError("what can stand in braces is {thread} and {external_id}")
    return url


Template = Annotated[str, StringConstraints(max_length=TEMPLATE_LIMIT), AfterValidator(_template)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=500)]
FieldName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class SourceSpec(Spec):
    """A system that sends webhooks to ``/v1/hooks/{name}``. The secrets are written, never shown again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "zendesk",
                    "secrets": ["dGhpcyBpcyBub3QgYSByZWFsIHNlY3JldA=="],
                    "url": "https://acme.zendesk.com/agent/tickets/{thread}",
                    "country": "IE",
                    "tags": ["zendesk"],
                    "attributes": {"brand": "acme"},
                }
            ]
        }
    )

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")] = Field(
        description="Whose webhooks: phone, chat, web, standard, zendesk, intercom or twilio"
    )
    label: Label | None = None
    secrets: Annotated[tuple[Secret, ...], Field(max_length=SECRETS_LIMIT)] = Field(
        (), description="A signature by any of them counts; kept where a later PUT leaves them out"
    )
    url: Template | None = Field(
        None, description="Where a person answers, for example https://acme.zendesk.com/agent/tickets/{thread}"
    )
    country: Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$", to_upper=True)] | None = Field(
        None, description="Of customers of whom nothing else is known; their phone numbers are read as dialled there"
    )
    tags: Annotated[tuple[Tag, ...], Field(max_length=TAGS_LIMIT)] = Field((), description="On every contact")
    attributes: Attributes = Field({}, description="On every contact that does not say otherwise")
    fields: dict[str, FieldName] = Field(
        {}, max_length=FIELDS_LIMIT, description=f"Web forms: which field is the {', '.join(FORM_FIELDS)}"
    )

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        if unknown := sorted(self.fields.keys() - set(FORM_FIELDS)):
            raise ValueError(f"fields: {unknown[0][:60]!r} is none of {', '.join(FORM_FIELDS)}")
        return self

    def address(self, thread: str | None, external_id: str | None) -> str | None:
        """Where a person answers it; None where what the template needs is not known."""
        known = {"thread": thread, "external_id": external_id}
        if self.url is None:
            return None
        if any(name and not known[name] for _, name, _, _ in Formatter().parse(self.url)):
            return None
        return self.url.format_map({name: value or "" for name, value in known.items()})
