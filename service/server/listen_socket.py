"""Options of the listening socket; every connection inherits them."""

import socket

from service.server.connection_errors import CLIENT_TIMEOUT_SECONDS
from service.server.http_protocol import CHECK_INTERVAL_SECONDS

SEND_BUFFER_BYTES = 128 * 1024
"""How much of a response the kernel may buffer; by default it would take megabytes per client."""
ACCEPTS_PER_ITERATION = 16
"""libuv accepts one connection per socket in each iteration of the event loop. With a single
socket, new clients waited 5 s while a thousand others were served."""


def listening_sockets(listener: socket.socket) -> list[socket.socket]:
    """Set the options of `listener`; return it once per connection to accept in an iteration."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    milliseconds = 1000 * (CLIENT_TIMEOUT_SECONDS + CHECK_INTERVAL_SECONDS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_ITERATION - 1))]
