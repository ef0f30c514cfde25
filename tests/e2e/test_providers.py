"""A provider in trouble: a short run of ``python -m tests.chaos.providers``."""

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.providers import Options, storm
from tests.e2e.stack import Embedded

SHORT = Options(seed=1, seconds=8, spell_s=2)


@pytest.fixture
def impatient() -> Iterator[Embedded]:
    with Embedded({"TOCSIN_SEND_TIMEOUT_S": "1"}) as stack:
        yield stack


def test_every_page_reaches_somebody_while_slack_fails_in_every_way(
    impatient: Embedded, measured: Callable[[str], None]
) -> None:
    verdict = storm(impatient, SHORT)
    measured(f"Slack in trouble: {verdict.counts}")
    assert not verdict.wrong, "\n".join(verdict.wrong[:20])
    assert verdict.counts["posted and not answered"] > 0, "the weather was fair"
