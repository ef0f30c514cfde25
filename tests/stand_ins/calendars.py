"""A server of calendars: answers with what a test puts there, and remembers what it was asked."""

from typing import Self

from aiohttp import web


class Calendars:
    """``files`` by path; ``status`` other than 200 answers everything; ``redirects`` by path."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.status = 200
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, {k.lower(): v for k, v in request.headers.items()}))
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        text = self.files.get(request.path)
        if self.status != 200 or text is None:
            return web.Response(status=self.status if self.status != 200 else 404)
        etag = f'"{hash(text)}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(text=text, content_type="text/calendar", headers={"ETag": etag})
