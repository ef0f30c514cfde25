from collections.abc import AsyncIterator, Iterator

import pytest

from shared.embedded import EmbeddedPostgres
from tests.conftest import UNFLUSHED
from tests.stand_ins.slack import Slack
from tests.stand_ins.smtp import Mail
from tests.unit.notify.running import Running


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("notify"), **UNFLUSHED)
    yield postgres.start()
    postgres.stop()


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    async with Slack() as found:
        yield found


@pytest.fixture
def mail() -> Iterator[Mail]:
    with Mail() as found:
        yield found


@pytest.fixture
async def notify(embedded: str, slack: Slack, mail: Mail) -> AsyncIterator[Running]:
    """The service on a real Postgres with people and policies, its clock moved by hand."""
    running = await Running.start(embedded, slack, mail)
    yield running
    await running.stop()
