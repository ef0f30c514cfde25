"""Nothing fires on stale knowledge: what is in the log counts, also when it is read late."""

from concurrent.futures import ThreadPoolExecutor

from tests.e2e import scene
from tests.e2e.client import Client, until
from tests.e2e.stack import SERVICES, Apart, Stack

ANSWERED = 25
SOON_S = 30.0


def test_replies_that_waited_in_the_log_while_sla_was_down_leave_no_false_page(stack: Stack, tocsin: Client) -> None:
    """Their deadlines pass while sla is down; a case that nobody answered shows that it fires after its start."""
    with ThreadPoolExecutor(8) as many:
        posted = list(many.map(lambda _: tocsin.post("/v1/contacts", scene.payout_missing()), range(ANSWERED + 1)))
        case_ids = [each["case_id"] for each in posted]
        *answered, silent = case_ids
        for case_id in case_ids:
            scene.clock_started(tocsin, case_id)
        if isinstance(stack, Apart):
            stack.program("sla").kill()
            late = tocsin.post("/v1/contacts", scene.payout_missing())["case_id"]  # its contact waits in the log too
            answered.append(late)
        replies = [scene.replied(case_id) for case_id in answered]
        list(many.map(lambda reply: tocsin.post("/v1/activities", reply), replies))
    stack.program("sla").kill()  # embedded: at once after the last was accepted
    due = scene.now() + scene.PROMISE
    until(lambda: scene.now() > due, SOON_S, "every deadline passes")
    stack.program("sla").start()
    stack.wait_ready(SERVICES if not isinstance(stack, Apart) else ["sla"])

    until(lambda: (scene.page(tocsin, silent) or {}).get("state") == "open", SOON_S, "the unanswered case is paged")
    for case_id in answered:
        until(lambda c=case_id: ended(tocsin, c), SOON_S, "the reply ends its clock")
    clocks = [scene.the_clock(tocsin, case_id) for case_id in answered]
    assert [each["state"] for each in clocks] == ["met"] * len(answered)
    assert [each["breached_at"] for each in clocks] == [None] * len(answered)
    assert [scene.page(tocsin, case_id) for case_id in answered] == [None] * len(answered)
    tocsin.post("/v1/activities", scene.replied(silent))
    until(lambda: scene.the_page(tocsin, silent)["state"] == "resolved", SOON_S, "the late reply ends the page")


def ended(tocsin: Client, case_id: str) -> bool:
    return (scene.clock(tocsin, case_id) or {}).get("state") in ("met", "withdrawn", "cancelled")
