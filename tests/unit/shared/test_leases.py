"""Leases: even shares, takeover after the end, and a fence that holds inside a transaction."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db import Database
from shared.leases import Leases, end_all, share

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LENGTH_S = 5.0
NAMES = [f"outbox-{number}" for number in range(10)]
owners = st.lists(st.text("abcdef", min_size=1), min_size=1, max_size=12, unique=True)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "public")
    async with database.transaction() as tx:
        await tx.run("CREATE TABLE lease (name text PRIMARY KEY, owner text, epoch bigint, until timestamptz)")
    yield database
    await database.close()


def member(db: Database, owner: str) -> Leases:
    return Leases(db, NAMES, LENGTH_S, owner)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(st.integers(0, 64), owners)
def test_the_shares_add_up_and_differ_by_at_most_one(leases, members):
    shares = [share(leases, members, me) for me in members]
    assert sum(shares) == leases
    assert max(shares) - min(shares) <= 1


async def test_one_alone_holds_all_and_two_come_to_hold_half_each(db):
    one, other = member(db, "one"), member(db, "other")
    assert set(await one.renew(NOW)) == set(NAMES)
    assert await other.renew(after(1)) == {}, "nothing is free yet"
    assert len(await one.renew(after(2))) == 5
    assert len(await other.renew(after(3))) == 5
    assert set(one.held) | set(other.held) == set(NAMES)


async def test_shares_stay_where_they_are_while_nobody_comes_or_goes(db):
    one, other = member(db, "one"), member(db, "other")
    for second in range(3):
        await one.renew(after(2 * second))
        await other.renew(after(2 * second + 1))
    before = dict(one.held), dict(other.held)
    for second in range(3, 8):
        assert (await one.renew(after(2 * second)), await other.renew(after(2 * second + 1))) == before


async def test_three_share_ten_and_the_dead_ones_part_is_taken_after_its_lease(db):
    members = [member(db, name) for name in ("a", "b", "c")]
    for second in range(4):
        for each in members:
            await each.renew(after(2 * second))
    assert sorted(len(each.held) for each in members) == [3, 3, 4]
    a, b, _dead = members
    for second in (8, 10):
        await a.renew(after(second))
        await b.renew(after(second))
    assert len(a.held) + len(b.held) < 10, "the lease of the dead one still runs"
    for second in (12, 14):
        await a.renew(after(second))
        await b.renew(after(second))
    assert (len(a.held), len(b.held)) == (5, 5)


async def test_whoever_lost_a_lease_is_refused_from_then_on(db):
    slow, quick = member(db, "slow"), member(db, "quick")
    epochs = dict(await slow.renew(NOW))
    async with db.transaction() as tx:
        assert await slow.check(tx, epochs) == frozenset(NAMES)
    taken = dict(await quick.renew(after(LENGTH_S)))
    assert set(taken) == set(NAMES)
    assert all(taken[name] > epochs[name] for name in NAMES)
    async with db.transaction() as tx:
        assert await slow.check(tx, epochs) == frozenset()
        assert await quick.check(tx, taken) == frozenset(NAMES)


async def test_a_pause_that_nobody_used_changes_nothing(db):
    one = member(db, "one")
    epochs = dict(await one.renew(NOW))
    async with db.transaction() as tx:
        assert await one.check(tx, epochs) == frozenset(NAMES)
    assert await one.renew(after(3600)) == epochs


async def test_what_was_checked_cannot_be_taken_until_the_transaction_ends(db):
    slow, quick = member(db, "slow"), member(db, "quick")
    epochs = dict(await slow.renew(NOW))
    async with asyncio.timeout(10), db.transaction() as tx:
        assert await slow.check(tx, {"outbox-3": epochs["outbox-3"]}) == {"outbox-3"}
        taken = await quick.renew(after(LENGTH_S))  # passes over the locked one, and does not wait for it
        assert set(taken) == set(NAMES) - {"outbox-3"}
    assert set(await quick.renew(after(LENGTH_S + 2))) == set(NAMES)


async def test_what_is_released_is_free_at_once(db):
    one, other = member(db, "one"), member(db, "other")
    await one.renew(NOW)
    await one.release()
    assert set(await other.renew(after(0.1))) == set(NAMES)


async def test_one_that_is_alone_need_not_wait_for_the_run_before(db):
    await member(db, "killed").renew(NOW)
    async with db.transaction() as tx:
        await end_all(tx)
    assert set(await member(db, "again").renew(after(0.1))) == set(NAMES)


async def test_many_who_renew_at_once_never_hold_the_same(db):
    members = [member(db, f"m{number}") for number in range(5)]
    for second in range(6):
        await asyncio.gather(*(each.renew(after(2 * second)) for each in members))
        held = [name for each in members for name in each.held]
        assert len(held) == len(set(held))
    assert len(held) == len(NAMES)
    assert {len(each.held) for each in members} == {2}


async def test_other_leases_in_the_same_schema_are_shared_apart(db):
    buckets, partitions = member(db, "one"), Leases(db, ["sla/0000", "sla/0001"], LENGTH_S, "two")
    assert len(await buckets.renew(NOW)) == len(NAMES)
    assert len(await partitions.renew(NOW)) == 2
    assert len(await buckets.renew(after(2))) == len(NAMES)
