"""The head and the body of an answer leave in one write; nothing is lost, and a flood is passed on."""

import asyncio
import socket

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from shared.joined import HELD_BYTES, Joined, Protocol
from shared.service import Server


class Written(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True


async def test_what_is_written_in_one_turn_leaves_together() -> None:
    written = Written()
    joined = Joined(written, asyncio.get_running_loop())
    joined.write(b"head")
    joined.write(b"body")
    assert written.writes == []
    await asyncio.sleep(0)
    joined.write(b"next")
    await asyncio.sleep(0)
    assert written.writes == [b"headbody", b"next"]


async def test_much_is_passed_on_at_once_and_closing_loses_nothing() -> None:
    written = Written()
    joined = Joined(written, asyncio.get_running_loop())
    joined.write(b"x" * (HELD_BYTES + 1))
    assert len(written.writes) == 1
    joined.write(b"last")
    joined.close()
    await asyncio.sleep(0)
    assert (written.writes[-1], written.closed) == (b"last", True)


app = FastAPI()


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body())


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(b"%d\n" % n for n in range(50_000))


async def _talk(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(3):
        said = b"hello %d" % number
        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(len(said)) == said
    writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    whole = await asyncio.wait_for(reader.read(), 20)
    assert whole.endswith(b"0\r\n\r\n")
    assert b"49999\n" in whole
    writer.close()
    await writer.wait_closed()


async def test_over_a_real_socket() -> None:
    """Kept connections, and an answer of many pieces."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, http=Protocol, log_config=None, lifespan="off"))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listening]))
        await _talk(listening.getsockname()[1])
        server.should_exit = True
