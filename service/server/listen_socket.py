"""The listening socket and its options, which every connection inherits."""

import socket
import stat
from pathlib import Path

from service.server.connection_errors import CLIENT_TIMEOUT_SECONDS
from service.server.http_protocol import CHECK_INTERVAL_SECONDS

SEND_BUFFER_BYTES = 128 * 1024
"""How much of a response the kernel may buffer; by default it would take megabytes per client."""
ACCEPTS_PER_ITERATION = 16
"""libuv accepts one connection per socket in each iteration of the event loop. With a single
socket, new clients waited 5 s while a thousand others were served."""
UNIX_MODE = 0o666
"""Any user of this machine may connect, as with 127.0.0.1, unless the directory forbids it."""


def listening_sockets(listener: socket.socket) -> list[socket.socket]:
    """Set the options of `listener`; return it once per connection to accept in an iteration."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if listener.family != socket.AF_UNIX:
        milliseconds = 1000 * (CLIENT_TIMEOUT_SECONDS + CHECK_INTERVAL_SECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_ITERATION - 1))]


def unix_socket(path: Path) -> socket.socket:
    """Return a UNIX socket bound to `path`; one that a killed server has left there is replaced.

    Raises:
        OSError: the path is in use, is another kind of file, is too long, or can't be written.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_abandoned(path)
        listener.bind(str(path))
        path.chmod(UNIX_MODE)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_abandoned(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:  # nobody listens there any more
            path.unlink(missing_ok=True)
            return
    raise OSError(f"another program listens on {path}")
