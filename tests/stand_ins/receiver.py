"""A webhook receiver: every request is one JSON line, written before it is answered: when, where, what.

``python -m tests.stand_ins.receiver --port 9000 --log received.jsonl``
"""

import argparse
from pathlib import Path

from aiohttp import web

from shared.clock import SystemClock


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    clock = SystemClock()
    with arguments.log.open("ab", buffering=0) as log:
        log.write(b"\n")  # after whatever one before us was writing when it was killed

        async def take(request: web.Request) -> web.Response:
            at, body = clock.now().isoformat(), (await request.read()).strip() or b"null"
            log.write(b'{"at": "%s", "path": "%s", "body": %s}\n' % (at.encode(), request.path.encode(), body))
            return web.Response()

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", take)
        web.run_app(app, host="127.0.0.1", port=arguments.port, access_log=None, print=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    main()
