"""Reads the settings that name addresses: hosts, origins, proxies and the path prefix.

A wrong entry would silently match nothing, or too much. So every function raises a ValueError that
quotes the entry, which is no secret, and says what to write instead.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urlsplit

LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^\[\]/:@?#\\]*)(?::([0-9]{1,5}))?")
DEFAULT_PORTS = {"http": "80", "https": "443"}
ANY, OPAQUE = "*", "null"
"""Any origin; the origin of pages without one, such as files and sandboxed frames."""
UNLISTED = (ANY, OPAQUE)
"""Origins that stand for pages of anybody. They count only once there are API keys, because without
keys any page that an operator visits could use the service."""
OWN_SEGMENTS = (
    *("v1", "docs", "openapi.json", "livez", "readyz", "metrics", "vendor", "web", "problems"),
)
"""First segments of the service's own routes, which can't tell themselves from a prefix."""


def entries(text: str) -> list[str]:
    """Return the entries of a list separated by commas; nothing at all is an empty list."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    for part in parts:
        if not part:
            raise ValueError(f"{text!r} has an empty entry; remove the comma that is too many")
        if re.search("[\"'{}]", part):
            raise ValueError(f"{part!r} has quotes; separate the entries with commas alone")
        if re.search(r"\s", part):
            raise ValueError(f"{part!r} has a blank inside; separate the entries with commas")
    return parts


# --- The address to listen on ---------------------------------------------------------------------


def listening_host(value: str) -> str:
    """Return the host to listen on, which is a name or an IP address alone."""
    if "/" in value or "@" in value or re.search(r"[\s\"']", value):
        raise ValueError("it is no host; write a name or an IP address alone, such as 127.0.0.1")
    if value.count(":") == 1:
        raise ValueError(f"{value!r} has a port; write {_without_port(value)} and set MLP_PORT")
    return value


def http_url(value: str) -> str:
    """Return the URL of another server; what it may contain as a secret is not quoted."""
    parts = urlsplit(value)
    if parts.username or parts.password:
        raise ValueError("it has a user name; write the URL without, and set the token by itself")
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it is no URL of a server; write one like http://ray.example:8265")
    return value.rstrip("/")


# --- Hosts ----------------------------------------------------------------------------------------


def hosts(values: list[str]) -> list[str]:
    """Return the names that a Host header may carry, in lower case and without duplicates."""
    if not values:
        raise ValueError("the list is empty, so every request would be refused; name a host")
    return list(dict.fromkeys(_host(value) for value in values))


def _host(value: str) -> str:
    host = value.lower()
    if host == ANY:
        return host
    if "@" in host:
        bare = host.rsplit("@", 1)[1]  # what is before it may be a password
        raise ValueError(f"an entry has a user name; write the host alone: {bare}")
    if "/" in host:
        bare = _without_port(host.rpartition("://")[2].split("/")[0])
        raise ValueError(f"{value!r} is an address; write the name alone: {bare}")
    if ip := _ip(host.strip("[]")):
        return f"[{ip}]" if isinstance(ip, IPv6Address) else str(ip)
    if ":" in host:
        bare = _without_port(host)
        raise ValueError(f"{value!r} has a port; write the name alone, for any port: {bare}")
    name = host.removeprefix("*.")
    if "*" in name:
        raise ValueError(f"{value!r}: a * stands alone, or before the first dot: *.example.com")
    _check_name(value, name)
    return host


def _check_name(value: str, name: str) -> None:
    if name.endswith("."):
        raise ValueError(f"{value!r} ends with a dot; leave it out: {value[:-1]}")
    if not name.isascii():
        raise ValueError(f"{value!r} is not ASCII; write it as browsers send it: {_ascii(name)}")
    if not NAME.fullmatch(name):
        raise ValueError(f"{value!r} is no host name; write one like digits.example.com")


def _ascii(name: str) -> str:
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return "xn--…"


def _without_port(host: str) -> str:
    return re.sub(r":[^\]]*$", "", host)


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


# --- Origins --------------------------------------------------------------------------------------


def origins(values: list[str]) -> list[str]:
    """Return the origins as browsers write them: in lower case, without a default port."""
    return list(dict.fromkeys(_origin(value) for value in values))


def _origin(value: str) -> str:
    origin = value.lower()
    if origin in UNLISTED:
        return origin
    if "://" not in origin:
        bare = origin.lstrip("/")
        raise ValueError(f"{value!r} has no scheme; write https://{bare} or http://{bare}")
    scheme, rest = origin.split("://", 1)
    _check_what_follows_the_scheme(value, scheme, rest)
    found = ORIGIN.fullmatch(origin)
    if not found or int(found[3] or 1) not in range(1, 65536):
        raise ValueError(f"{value!r} is no origin; write one like https://app.example")
    if not found[2].startswith("["):
        _check_name(value, found[2])
    port = "" if found[3] in (None, DEFAULT_PORTS.get(scheme)) else f":{int(found[3])}"
    return f"{scheme}://{found[2]}{port}"


def _check_what_follows_the_scheme(value: str, scheme: str, rest: str) -> None:
    if scheme == "file":
        raise ValueError(f"{value!r}: browsers send the origin null for files; write null")
    if "@" in rest:
        raise ValueError(f"an entry has a user name; write {scheme}://{rest.rsplit('@', 1)[1]}")
    if part := re.search(r"[/?#\\]", rest):
        raise ValueError(f"{value!r} has a path; write {scheme}://{rest[: part.start()]}")
    if "*" in rest:
        raise ValueError(f"{value!r} has a *; write every origin out, or * alone for all of them")


# --- Proxies --------------------------------------------------------------------------------------


def proxies(values: list[str]) -> list[str]:
    """Return the addresses and networks of trusted proxies."""
    if ANY in values and len(values) > 1:
        raise ValueError(f"{','.join(values)!r}: a * trusts every address; write it alone")
    return [_proxy(value) for value in values]


def _proxy(value: str) -> str:
    if value == ANY or _ip(value):
        return value
    try:
        return str(ip_network(value))
    except ValueError:
        pass
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        advice = "write one like 10.0.0.5 or 10.0.0.0/8"
        raise ValueError(f"{value!r} is no IP address or network; {advice}") from None
    raise ValueError(f"{value!r} is an address within a network; write {network}")


# --- Path prefix ----------------------------------------------------------------------------------


def root_path(value: str) -> str:
    """Return the path prefix, such as /mlp, or "" for none."""
    prefix = value.strip().rstrip("/")
    if not prefix:
        return ""
    if "://" in prefix:
        raise ValueError(f"{value!r} is an address; write its path alone, such as /mlp")
    if not prefix.startswith("/"):
        raise ValueError(f"{value!r} does not begin with a slash; write /{prefix}")
    first, *others = segments = prefix[1:].split("/")
    if any(part in ("", ".", "..") or quote(part, safe="~") != part for part in segments):
        plain = "letters, digits, '-', '_', '.' and '~' between single slashes"
        raise ValueError(f"{value!r} is no plain path; use {plain}")
    if first in OWN_SEGMENTS:
        raise ValueError(f"{value!r} begins like a route of the service; choose another prefix")
    return "/".join(["", first, *others])
