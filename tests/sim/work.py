"""Where work waits, so that few steps are spent on looking for it: asked of the tables, as nobody of Tocsin does."""

from collections.abc import Iterator, Mapping

from tests.sim.wiring import MEMBERS

Work = Mapping[str, bool]  # by service and loop; what is not named may have some

_UNREAD = (
    "SELECT FROM log.head h LEFT JOIN {0}.progress p ON p.topic = h.topic AND p.partition = h.partition"
    " WHERE h.topic IN ({1}) AND h.next_position > coalesce(p.position, h.first_position)"
)
_DUE = "SELECT FROM {0}.timer WHERE due_at <= $1"
_UNSENT = (
    "SELECT FROM notify.delivery WHERE state IN ('queued', 'held', 'unknown') AND next_at <= $1"
    " AND (claimed_until IS NULL OR claimed_until <= $1)"
)


def _questions() -> Iterator[tuple[str, str]]:
    for name, member in MEMBERS.items():
        yield f"{name} relay", f"SELECT FROM {name}.outbox"
        topics = member.service().card.consumes
        if topics:
            yield f"{name} worker", _UNREAD.format(name, ", ".join(f"'{each}'" for each in topics))
            yield f"{name} ticker", _DUE.format(name)
    yield "notify claims", _UNSENT


_ASKED = dict(_questions())
NAMES = tuple(_ASKED)
SQL = f"SELECT ARRAY[{', '.join(f'EXISTS ({each})' for each in _ASKED.values())}] AS found"
