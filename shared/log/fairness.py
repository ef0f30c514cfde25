"""How a poll is shared out between partitions."""

from collections.abc import Mapping

from shared.log import TopicPartition


def fair(waiting: Mapping[TopicPartition, int], limit: int, turn: int) -> dict[TopicPartition, int]:
    """How many records to read of each partition, in order, so that a hot one starves no other.

    All that waits in the small ones, and equal parts of the large ones. ``turn`` counts polls: each begins elsewhere.
    """
    order = sorted(each for each, records in waiting.items() if records > 0)
    start = turn % len(order) if order else 0
    order = (order[start:] + order[:start])[:limit]
    counts: dict[TopicPartition, int] = {}
    for each in sorted(order, key=lambda one: waiting[one]):
        counts[each] = min(waiting[each], -(-limit // (len(order) - len(counts))))
        limit -= counts[each]
    return {each: counts[each] for each in order}
