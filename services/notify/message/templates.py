"""An admin's own words for a message: Jinja2 in a sandbox, over values that are escaped for the channel. Pure.

Only a small part of Jinja2 is allowed, checked when a template is read: values, conditions, loops over the message's
own lists, and filters that make nothing longer. So every template ends soon, whatever it is given: no calls, no
arithmetic, no assignments, no macros, nothing that grows.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.notify.message import Message
from services.notify.model import QUIET, Configuration, Purpose
from services.notify.model.specs import DEFAULT_TEMPLATE, AnyDestination, TemplateSpec

MAX_SOURCE = 4_000  # characters
MAX_HEADLINE = 300
MAX_BODY = 8_000
MAX_SLACK_BODY = 2_900  # of one section
MAX_DEPTH = 2  # of loops in loops

FIELDS = (
    "number", "headline", "lock", "subject", "excerpt", "customer", "tier", "priority", "team", "metric",
    "state", "url", "due", "routed", "you", "next", "acknowledged", "fields", "sentences", "kind",
)  # fmt: skip
_FILTERS = frozenset(
    {"upper", "lower", "capitalize", "title", "trim", "truncate", "default", "first", "last", "length"}
)
_LISTS = frozenset({"fields", "sentences"})
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.If, nodes.CondExpr,
    nodes.For, nodes.Filter, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Keyword,
    nodes.Test,
)  # fmt: skip
_PARTS = frozenset({"label", "text"})  # of one of the fields


class BadTemplate(ValueError):
    """The template cannot be used. The text says where and why."""


@lru_cache(maxsize=4)
def _environment(channel: str) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, finalize=_escapes(channel))
    made.globals = {}
    return made


def _escapes(channel: str) -> Any:
    """How every value is written: Slack reads three characters as markup; a mail and a terminal get plain text."""

    def slack(value: Any) -> str:
        return _text(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    return slack if channel == "slack" else _text


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def check(source: str) -> None:
    """Raises ``BadTemplate``."""
    if len(source) > MAX_SOURCE:
        raise BadTemplate(f"is longer than {MAX_SOURCE} characters")
    try:
        tree = _environment("plain").parse(source)
    except TemplateError as error:
        raise BadTemplate(f"line {getattr(error, 'lineno', 1)}: {error.message}") from None
    except RecursionError:
        raise BadTemplate("is nested too deeply") from None
    _check(tree, frozenset(FIELDS), 0)


def _check(node: nodes.Node, known: frozenset[str], depth: int) -> None:
    line = f"line {node.lineno}"
    if not isinstance(node, _ALLOWED):
        raise BadTemplate(f"{line}: {type(node).__name__.lower()} is not allowed")
    if isinstance(node, nodes.Name) and node.name not in known:
        raise BadTemplate(f"{line}: there is no {node.name}. Known: {', '.join(sorted(known))}")
    if isinstance(node, nodes.Getattr) and node.attr not in _PARTS:
        raise BadTemplate(f"{line}: .{node.attr} is not allowed: only .label and .text of one of fields")
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise BadTemplate(f"{line}: there is no filter {node.name}. Known: {', '.join(sorted(_FILTERS))}")
    if isinstance(node, nodes.Test) and node.name not in ("none", "defined"):
        raise BadTemplate(f"{line}: there is no test {node.name}. Known: none, defined")
    if isinstance(node, nodes.For):
        if depth >= MAX_DEPTH or node.recursive or not isinstance(node.target, nodes.Name):
            raise BadTemplate(f"{line}: loops are over fields or sentences, {MAX_DEPTH} deep at most")
        if not isinstance(node.iter, nodes.Name) or node.iter.name not in _LISTS:
            raise BadTemplate(f"{line}: only fields and sentences can be looped over")
        known, depth = known | {node.target.name}, depth + 1
    for child in node.iter_child_nodes():
        _check(child, known, depth)


def values(message: Message) -> dict[str, Any]:
    """What a template can say: texts, or null where there is nothing."""
    named = {label.lower(): text for label, text in message.fields}
    facts: Mapping[str, Any] = message.facts
    found = {
        "number": facts.get("case_number"),
        "headline": message.headline,
        "lock": message.lock,
        "subject": facts.get("subject"),
        "excerpt": message.quote,
        "customer": message.context[1].partition(" (")[0] if len(message.context) > 1 else None,
        "tier": facts.get("customer_tier"),
        "priority": facts.get("priority"),
        "team": facts.get("team"),
        "metric": str(facts.get("metric", "")).replace("_", " "),
        "state": facts.get("state"),
        "url": message.case_url,
        "kind": str(message.purpose),
        "fields": [{"label": label, "text": text} for label, text in message.fields],
        "sentences": list(message.sentences),
    }
    return found | {name: named.get(name) for name in ("due", "routed", "you", "next", "acknowledged")}


def render(source: str, message: Message, channel: str, limit: int) -> str:
    """At most ``limit`` characters. Raises ``BadTemplate``, also where nothing comes of it."""
    check(source)
    written: list[str] = []
    room = limit
    try:
        for piece in _environment(channel).from_string(source).generate(values(message)):
            written.append(piece[:room])
            room -= len(piece)
            if room < 0:
                raise BadTemplate(f"makes more than {limit} characters")
    except (TemplateError, ValueError, TypeError, LookupError) as error:
        raise BadTemplate(str(error)[:200] or type(error).__name__) from None
    text = "".join(written).strip()
    if not text:
        raise BadTemplate("says nothing")
    return text


def worded(configuration: Configuration, address: AnyDestination, message: Message) -> Message:
    """In the words of the template that the destination names, or of ``default``; with the built-in ones and a
    trouble where it cannot be used."""
    name = address.template or DEFAULT_TEMPLATE
    spec = configuration.templates.get(name)
    if spec is None or message.rows or message.purpose in QUIET - {Purpose.UPDATE}:
        return message
    try:
        return written(spec, address.kind, message)
    except BadTemplate as bad:
        return replace(message, trouble=f"template {name} {bad}; the built-in words were sent instead")


def written(spec: TemplateSpec, channel: str, message: Message) -> Message:
    """Raises ``BadTemplate``."""
    words = spec.of(channel)
    if words is None:
        return message
    headline, body = message.headline, None
    if words.headline is not None:
        headline = " ".join(render(words.headline, message, "plain", MAX_HEADLINE).split())
    if words.body is not None:
        body = render(words.body, message, channel, MAX_BODY if channel != "slack" else MAX_SLACK_BODY)
    return replace(message, headline=headline, body=body)
