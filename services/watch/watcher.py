"""The rounds: a contact in, its page awaited, judged, and closed behind us; and the server that the page comes to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from standardwebhooks import Webhook, WebhookVerificationError

from services.watch import memory, metrics
from services.watch.judgement import Result, Rules, Seen, hangs_at, judge, told
from services.watch.memory import Contact, Memory
from services.watch.people import People
from services.watch.settings import WatchSettings
from services.watch.tocsin import Tocsin, Trouble
from shared.clock import SystemClock
from shared.ids import Ids, webhook_secret

CLOSE_AT_ONCE = 20  # leftovers of one round
PATIENCE_S = 10.0  # of one request
KEPT_ARRIVALS = 100
MAX_BODY = 1_048_576

log = structlog.get_logger()


class Watcher:
    """One watcher of one Tocsin."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings, self._clock = settings, SystemClock()
        self._ids = Ids(self._clock)
        self._rules = Rules(settings.failures, timedelta(seconds=settings.repeat_s))
        self._memory = memory.load(settings.state) or Memory(webhook_secret())
        metrics.LEFT.set(len(self._memory.left))
        patience_s = min(PATIENCE_S, settings.within_s)
        self._tocsin = Tocsin(settings.server, settings.key.get_secret_value(), patience_s)
        self._people = People(settings)
        self._page_url = f"{settings.own_url}/page"
        self._arrived: dict[str, datetime] = {}  # by case id: when its page came; of the last few
        self._news = asyncio.Event()

    async def set_up(self) -> None:
        """Raises ``Trouble``."""
        await self._tocsin.set_up(self._page_url, self._memory.secret, self._memory.destination)
        self._remember(replace(self._memory, destination=self._page_url))

    async def run(self) -> None:
        """Rounds at an even pace, until cancelled: what must be known after that is written down at every step."""
        try:
            async with self._serving():
                while True:
                    began = asyncio.get_running_loop().time()
                    await self.round()
                    await asyncio.sleep(began + self._settings.every_s - asyncio.get_running_loop().time())
        finally:
            await self.close()

    async def once(self) -> bool:
        """One round; whether its page came."""
        try:
            async with self._serving():
                return (await self.round()).age is not None
        finally:
            await self.close()

    async def close(self) -> None:
        await self._tocsin.close()
        await self._people.close()

    async def round(self) -> Result:
        """One contact, its judgement, and what follows from it."""
        result = await self._try()
        if result.age is not None:
            metrics.AGE.observe(result.age.total_seconds())
            metrics.SUCCEEDED.set(result.at.timestamp())
            await self._people.ping()
        metrics.UP.set(result.age is not None)
        metrics.ROUNDS.labels(result.hop or "none").inc()
        log.info("round", hop=result.hop, age_s=result.age and result.age.total_seconds(), text=result.text)
        standing, call = judge(self._memory.standing, result, self._rules)
        if call is not None and await self._people.tell(call, result.hop, result.at):
            standing = told(standing, call, result.at)
        self._remember(replace(self._memory, standing=standing))
        await self._close_left()
        return result

    async def _try(self) -> Result:
        try:
            await self._keep_set_up()
            contact = Contact(str(self._ids.new()), self._clock.now())
            self._remember(self._memory.leave(contact))  # before it is posted: the answer may be lost
            contact = await self._tocsin.post(contact)
        except Trouble as trouble:
            hop, text = hangs_at(Seen(accepted=str(trouble)))
            return Result(self._clock.now(), hop=hop, text=text)
        self._remember(self._memory.leave(contact))
        assert contact.case_id is not None
        waits = timedelta(seconds=self._settings.within_s) - (self._clock.now() - contact.posted_at)
        try:
            async with asyncio.timeout(max(0.0, waits.total_seconds())):
                while contact.case_id not in self._arrived:  # it may have come before the answer to our post
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            hop, text = hangs_at(await self._tocsin.look(contact.case_id))
            return Result(self._clock.now(), hop=hop, text=text)
        return Result(self._clock.now(), self._arrived[contact.case_id] - contact.posted_at)

    async def _keep_set_up(self) -> None:
        """Raises ``Trouble`` where it was never done; once it was, the round itself shows what hangs."""
        try:
            await self.set_up()
        except Trouble as trouble:
            if self._memory.destination != self._page_url:
                raise
            log.info("whether everything is set up is not known", why=str(trouble))

    async def _close_left(self) -> None:
        """Answer and close our cases, the oldest first; what does not work now is tried again after the next round."""
        for contact in self._memory.left[:CLOSE_AT_ONCE]:
            try:
                known = contact if contact.case_id else await self._tocsin.post(contact)
                assert known.case_id is not None
                await self._tocsin.end(known.case_id, known.name, self._clock.now())
            except Trouble as trouble:
                log.info("a case of ours stays open for now", case_id=contact.case_id, why=str(trouble))
                self._remember(self._memory.leave(contact))  # behind the others, so that it holds up none
                break
            self._remember(self._memory.closed(contact))

    def _remember(self, what: Memory) -> None:
        if what != self._memory or not self._settings.state.exists():
            memory.save(self._settings.state, what)
            self._memory = what
            metrics.LEFT.set(len(what.left))

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/page", self._page)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._alive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._settings.host, self._settings.port).start()
            yield
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        """A page of ours arrives: signed by notify with the secret that we gave it, or refused."""
        at, body = self._clock.now(), await request.text()
        try:
            said = Webhook(self._memory.secret).verify(body, dict(request.headers))
            case_id, calls = str(said["data"]["case_id"]), said["type"] == "page.call"
        except (WebhookVerificationError, KeyError, TypeError, ValueError) as error:
            log.warning("a webhook that is not notify's", error=str(error)[:200])
            return web.Response(status=401, text="the signature is not ours")
        if not calls:  # what became of the page
            return web.Response()
        self._arrived.setdefault(case_id, at)
        for oldest in list(self._arrived)[:-KEPT_ARRIVALS]:
            del self._arrived[oldest]
        self._news.set()
        return web.Response()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})
