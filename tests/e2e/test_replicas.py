"""Two and three replicas of notify, real processes: one page each, one message each, every case named."""

import asyncio
import re
from collections import Counter
from itertools import count, pairwise

import pytest

from tests.e2e.client import until
from tests.e2e.stack import Apart
from tests.e2e.storms import PARTITIONS, break_all, log_of, look, set_up

BREACHES = 300
SOON_S = 60.0
APART_S = 0.99  # by the clock of the Slack stand-in


@pytest.mark.parametrize(("replicas", "kafka"), [(2, False), (3, True)], ids=["two-on-postgres", "three-on-kafka"])
def test_replicas_open_one_page_a_case_and_tell_of_each_once_at_most_a_message_a_second_in_a_channel(
    replicas: int, kafka: bool
) -> None:
    """Case 43."""
    with Apart(replicas={"notify": replicas}, kafka=kafka) as stack:
        tocsin = stack.client()
        set_up(tocsin)
        [(_, bases)] = stack.replicas.items()
        early = count(PARTITIONS, PARTITIONS)

        def shared() -> bool:
            """By a few more of the cases, until the last replica has joined: the storm is to find all of them."""
            asyncio.run(break_all(log_of(stack), next(early)))
            return all(handled(stack, base) for base in bases)

        until(shared, SOON_S, "replicas share it")
        asyncio.run(break_all(log_of(stack), BREACHES))
        numbers = {f"C-{number}" for number in range(BREACHES)}
        until(lambda: look(stack.sinks).named.keys() >= numbers, SOON_S, "every case is named in a message")
        until(lambda: not tocsin.get("/v1/deliveries", state="queued", limit=1)["items"], SOON_S, "all is recorded")
        pages = Counter(page["case_number"] for page in tocsin.every("/v1/pages"))
        assert pages == Counter(numbers)
        deliveries = list(tocsin.every("/v1/deliveries"))
        assert Counter(each["case_number"] for each in deliveries) == Counter(numbers)
        assert {each["state"] for each in deliveries} == {"sent"}
        assert not any(each["lost"] for each in deliveries)
        keys = Counter(sent.key for sent in stack.sinks.told())
        assert keys == Counter(each["id"] for each in deliveries), "each is told once"
        gaps = [b - a for times in look(stack.sinks).calls.values() for a, b in pairwise(sorted(times))]
        assert min(gaps).total_seconds() >= APART_S


def handled(stack: Apart, base: str) -> float:
    """How many events of clocks this replica took."""
    text = stack.client().send_to(base, "GET", "/metrics").text
    return sum(float(found) for found in re.findall(r'tocsin_events_handled_total\{[^}]*"clocks"[^}]*\} (\S+)', text))
