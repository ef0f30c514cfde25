"""An admin's own words: what they may say, what they never can, and what happens when they break."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify.message import templates
from services.notify.message.templates import BadTemplate, check, render, worded, written
from services.notify.model.specs import SlackSpec, TemplateSpec
from services.notify.senders import email
from tests.stand_ins.blocks import complaints
from tests.stand_ins.slack import Slack
from tests.unit.notify.given import CASE, breached, configuration, minutes
from tests.unit.notify.running import Running
from tests.unit.notify.test_follow import draws
from tests.unit.notify.test_message import hostile, message, standing, to

SHORT = {
    "slack": {"headline": "{{ number }} {{ priority }}", "body": "*{{ customer }}* waits: {{ excerpt }}\n{{ due }}"}
}
HOSTILE = "<!channel> {{ 7 * 7 }} <https://evil.example|x> & {% for i in fields %}"


def plain() -> Any:
    return message(standing(to("payments-slack")), "destination:payments-slack")


def test_a_template_says_what_its_author_wrote_with_the_values_of_the_case() -> None:
    found = written(TemplateSpec.model_validate(SHORT), "slack", plain())
    assert found.headline == "C-4812 urgent"
    assert (found.body or "").startswith("*A.* waits: We expected our payout")
    assert written(TemplateSpec.model_validate(SHORT), "email", plain()).body is None, "that channel keeps our words"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ headline.format('x') }}",
        "{{ fields|attr('__class__') }}",
        "{{ headline['__class__'] }}",
        "{% for a in fields %}{% for b in fields %}{% for c in fields %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% for i in range(9) %}x{% endfor %}",
        "{{ 'x' * 999999999 }}",
        "{{ headline|replace('', 'xxxxxxxx') }}",
        "{{ headline|center(99999999) }}",
        "{% set x = headline ~ headline %}",
        "{% macro x() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{{ self }}",
        "{{ nothing }}",
        "{{ headline|safe }}",
        "{{ 10 ** 10 }}",
        "{% autoescape false %}{{ headline }}{% endautoescape %}",
        "{% for f in fields recursive %}{{ loop(fields) }}{% endfor %}",
        "{{ headline",
        "x" * 5000,
        "{{" + "(" * 900 + "1" + ")" * 900 + "}}",
    ],
)
def test_tricks_and_what_grows_are_refused_when_a_template_is_written(source: str) -> None:
    with pytest.raises(BadTemplate):
        check(source)


def test_the_customers_words_are_escaped_by_the_environment_and_never_run() -> None:
    found = hostile(HOSTILE, HOSTILE, "<!here>")
    said = written(TemplateSpec.model_validate(SHORT), "slack", found)
    content = draws(said)
    assert complaints(content) == []
    text = json.dumps(content["blocks"])
    assert "<!" not in text
    assert "<https" not in text
    assert "{{ 7 * 7 }}" in text
    assert "49" not in (said.body or "")
    mail = written(TemplateSpec.model_validate({"email": {"body": "{{ subject }}"}}), "email", found)
    assert "<!channel>" in email.plain(mail, None)
    assert "&lt;!channel&gt;" in email.html(mail, None)


@settings(max_examples=60)
@given(st.text(max_size=500), st.text(max_size=500))
def test_whatever_customers_write_a_templates_blocks_are_taken(subject: str, words: str) -> None:
    found = worded(
        configuration_with(SHORT), SlackSpec(kind="slack", channel="#x"), hostile(subject, words, subject[:50])
    )
    assert complaints(draws(found)) == []


@settings(max_examples=100)
@given(st.text(alphabet="{}%|.()' xforineds_~[]*", max_size=120))
def test_any_source_is_refused_or_ends_within_its_limit(source: str) -> None:
    with contextlib.suppress(BadTemplate):
        assert len(render(source, plain_once, "slack", 500)) <= 500


plain_once = plain()


def configuration_with(spec: dict[str, Any]) -> Any:
    return replace(configuration(), templates={"default": TemplateSpec.model_validate(spec)})


@pytest.mark.parametrize(
    "body", ["{{ you }}", "{% for f in fields %}{{ f.nothing }}{% endfor %}", "{{ headline.text }}"]
)
def test_a_template_that_breaks_at_the_moment_of_sending_gives_way_to_our_words(body: str) -> None:
    spec = {"slack": {"body": "{% if you %}x{% endif %}" if body == "{{ you }}" else "{{ headline.label }}"}}
    found = worded(configuration_with(spec), SlackSpec(kind="slack", channel="#x"), plain())
    assert found.body is None
    assert found.headline == plain().headline
    assert (found.trouble or "").startswith("template default ")


def test_too_much_is_too_much() -> None:
    loop = "{% for a in fields %}{% for b in fields %}" + "x" * 3000 + "{% endfor %}{% endfor %}"
    with pytest.raises(BadTemplate, match="more than"):
        render(loop, plain_once, "slack", templates.MAX_BODY)


async def test_templates_are_versioned_previewed_used_and_their_failure_is_a_problem(
    notify: Running, slack: Slack
) -> None:
    await notify.tell(breached())
    await notify.until(minutes(1))
    asked = {"template": SHORT, "channel": "slack", "case": "C-4812", "target": "person:ana"}
    shown = await notify.ok("POST", "/v1/templates/preview", asked)
    assert shown["headline"] == "C-4812 urgent"
    assert shown["trouble"] is None
    assert "03:03 your time" in json.dumps(shown["blocks"])
    refused = await notify.client.put("/v1/templates/short", json={"slack": {"body": "{{ x.__class__ }}"}})
    assert refused.status_code == 422
    assert "slack.body: line 1" in refused.text
    first = await notify.ok("PUT", "/v1/templates/short", SHORT)
    later = await notify.ok("PUT", "/v1/templates/short", {"slack": {"headline": "{{ headline.label }}"}})
    assert (first["version"], later["version"]) == (1, 2)
    spec = {"kind": "slack", "channel": "#other", "template": "short"}
    await notify.ok("PUT", "/v1/destinations/payments-slack", spec)
    assert (await notify.client.delete("/v1/templates/short")).status_code == 409
    await notify.tell(breached(minutes(2), version=9_000_000))
    await notify.until(minutes(3))
    assert slack.posts[-1].body["blocks"][0]["text"]["text"].startswith("First reply"), "our words, since it breaks"
    problems = [each["text"] for each in (await notify.ok("GET", "/v1/problems"))["items"]]
    assert any("template short" in text and "built-in words" in text for text in problems)
    await notify.ok("PUT", "/v1/templates/short", SHORT)
    missing = {"name": "none", "channel": "email", "case": str(CASE)}
    assert (await notify.client.post("/v1/templates/preview", json=missing)).status_code == 404
    assert (await notify.client.post("/v1/templates/preview", json=missing | {"case": "C-1"})).status_code == 404
