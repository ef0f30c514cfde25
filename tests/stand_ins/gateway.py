"""One address for services that run apart: ``python -m tests.stand_ins.gateway --port 9000 --base URL --base URL``."""

import argparse

import httpx
from aiohttp import ClientSession, web

from tests.e2e.client import Routes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--base", action="append", required=True)
    arguments = parser.parse_args()
    routes = Routes({base: httpx.get(f"{base}/openapi.json", timeout=30).json() for base in arguments.base})

    async def forward(request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url = routes.base(request.path) + request.path_qs
        async with (
            ClientSession() as http,
            http.request(request.method, url, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    web.run_app(app, host="127.0.0.1", port=arguments.port, access_log=None, print=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    main()
