"""The demo's own server: when it cannot start, its last words are told, and its folder is gone all the same."""

import asyncio
from pathlib import Path

import pytest

from services.demo.claims import Failed
from services.demo.server import OwnServer, own_server


async def test_a_server_that_cannot_start_says_why_is_noticed_and_leaves_nothing() -> None:
    async with own_server({"LOG_URL": "amqp://nowhere"}) as server:
        assert server.data.is_dir()
        with pytest.raises(Failed, match=r"(?s)did not start.*write kafka://host:port"):
            await server.start()
        with pytest.raises(Failed, match="ended by itself"):
            await server.watch()
    assert not server.data.exists()


async def test_a_server_that_was_asked_to_end_is_not_taken_for_one_that_ended_by_itself() -> None:
    async with own_server({}) as server:
        starting = asyncio.ensure_future(server.start())  # noqa: TID251 - killed while it starts
        await asyncio.sleep(0.1)
        assert await server.kill() > 0
        await server.watch()
        with pytest.raises(Failed, match="did not start"):
            await starting


def test_settings_of_ours_do_not_reach_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql://somebody/else")
    server = OwnServer(tmp_path, {"SLACK_TOKEN": "xoxb-1"})
    given = {name: value for name, value in server.environment.items() if name.startswith("TOCSIN_")}
    assert "TOCSIN_DATABASE_URL" not in given
    assert given["TOCSIN_SLACK_TOKEN"] == "xoxb-1"
    assert given["TOCSIN_DATA_DIR"] == str(tmp_path)
    assert given["TOCSIN_PUBLIC_URL"] == server.url
