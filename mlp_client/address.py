"""The address of a server: what users write, and how it is reached."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import unquote

import httpx2

from mlp_client.errors import AddressUnusable

SOCKET_SCHEMES = ("http+unix", "unix")


@dataclass(frozen=True)
class Address:
    """Where a server is, and how to connect to it."""

    shown: str
    """What the user wrote, with a scheme and without a slash at the end."""
    url: str
    """What requests are sent to; of a UNIX socket, http://localhost and the path prefix."""
    socket: str | None = None
    """Path of the server's UNIX socket, if it is reached through one."""

    @property
    def is_local(self) -> bool:
        """Whether requests stay on this machine, so that no proxy could forward them."""
        return self.socket is not None or _is_loopback(httpx2.URL(self.url).host)


def parse(text: str) -> Address:
    """Return the address that a text names.

    Args:
        text: `host:port`, `http://host:port/prefix`, `https://…`, `unix:/path/to/socket` or
            `http+unix://%2Fpath%2Fto%2Fsocket/prefix`.

    Raises:
        AddressUnusable: the text is none of these.

    """
    scheme, separator, rest = text.strip().partition(":")
    if separator and scheme.lower() in SOCKET_SCHEMES:
        return _socket_address(scheme.lower(), rest, text)
    shown = (text if "://" in text else f"http://{text}").strip().rstrip("/")
    try:
        url = httpx2.URL(shown)
    except httpx2.InvalidURL as error:
        raise AddressUnusable(text, str(error)) from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise AddressUnusable(text, "it is not the URL of a server")
    return Address(shown, shown)


def _socket_address(scheme: str, rest: str, text: str) -> Address:
    rest = rest.removeprefix("//")
    path, prefix = (rest, "") if scheme == "unix" else _split_at_slash(rest)
    if not unquote(path).startswith("/"):
        raise AddressUnusable(text, "the path of the socket must begin with /")
    url = f"http://localhost/{prefix}".rstrip("/")
    return Address(text.strip(), url, path if scheme == "unix" else unquote(path))


def _split_at_slash(rest: str) -> tuple[str, str]:
    path, _, prefix = rest.partition("/")
    return path, prefix


def _is_loopback(host: str) -> bool:
    """Return whether a host is localhost, a name below it, or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
