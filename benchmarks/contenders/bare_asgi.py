"""The least that uvicorn can run: an application that answers every request with two bytes."""

from starlette.types import Receive, Scope, Send

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"2")]


async def app(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})
