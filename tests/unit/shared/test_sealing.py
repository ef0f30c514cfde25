"""Secrets at rest."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData

from shared import resources
from shared.db import Database
from shared.sealing import Seal, each_secret, hidden, load
from shared.settings import Settings
from shared.tables import platform_tables

AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
OLD, NEW = "the first key of many", "the key that follows it"
BODY = {"kind": "webhook", "url": "https://x.example", "secret": "whsec_abc", "more": [{"secrets": ["one", "two"]}]}


def test_a_key_is_changed_by_naming_the_new_one_first() -> None:
    old, both, new = Seal([OLD]), Seal([NEW, OLD]), Seal([NEW])
    assert both.open(old.seal("whsec_abc")) == "whsec_abc"
    assert new.open(both.seal("whsec_abc")) == "whsec_abc"
    assert new.open(old.seal("whsec_abc")) is None


def test_secrets_are_sealed_and_hidden_at_any_depth_and_nothing_else_is() -> None:
    seal = Seal([OLD])
    sealed = each_secret(BODY, seal.seal)
    assert "whsec_abc" not in str(sealed)
    assert "one" not in str(sealed["more"])
    assert sealed["url"] == BODY["url"]
    assert each_secret(sealed, seal.open) == BODY
    assert hidden(BODY) == {"kind": "webhook", "url": "https://x.example", "more": [{}]}


async def test_no_row_of_a_resource_holds_its_secret_and_another_key_gives_none(database_url: str) -> None:
    ours, theirs = (Database(database_url, "public", seal=Seal([key])) for key in (OLD, NEW))
    platform_tables(tables := MetaData())
    async with ours.engine.begin() as connection:
        await connection.run_sync(tables.create_all)
    async with ours.transaction() as tx:
        await resources.version(tx, "FOR UPDATE")
        made = await resources.put(tx, "destination", "hook", BODY, "ana", AT)
        again = await resources.put(tx, "destination", "hook", BODY, "ana", AT)
        assert made.version == again.version == 1  # sealed anew each time, and still no change
        rows = await tx.rows("SELECT body FROM resource UNION ALL SELECT body FROM resource_version ORDER BY 1")
        assert len(rows) == 2
        assert "whsec_abc" not in str(rows)
        assert (await resources.snapshot(tx, 1)).of("destination")["hook"].body == BODY
    async with theirs.transaction() as tx:
        assert (await resources.snapshot(tx, 1)).of("destination")["hook"].body["secret"] is None
    for database in (ours, theirs):
        await database.close()


def test_embedded_mode_makes_a_key_once_and_keeps_it_to_itself(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sealed = load(settings).seal("x")
    assert load(settings).open(sealed) == "x"
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600


def test_distributed_mode_asks_for_one_and_a_short_one_is_refused() -> None:
    apart = Settings(database_url=SecretStr("postgresql://x/y"))
    with pytest.raises(SystemExit, match="TOCSIN_SECRET_KEY"):
        load(apart)
    with pytest.raises(SystemExit, match="openssl rand"):
        load(apart.model_copy(update={"secret_key": SecretStr("short")}))
