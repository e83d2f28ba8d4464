"""Settings that name addresses: what is read, and what is refused with the way out."""

from collections.abc import Callable

import pytest

from service import address_settings
from service.address_settings import entries, hosts, origins, proxies, root_path
from service.app import create_app
from service.settings import Settings

BLANKS = [" ", "\t", "\n", ""]


# --- Lists ----------------------------------------------------------------------------------------


def test_a_list_is_separated_by_commas_with_or_without_blanks() -> None:
    assert entries("a, b ,c") == ["a", "b", "c"]


@pytest.mark.parametrize("text", BLANKS)
def test_nothing_is_an_empty_list(text: str) -> None:
    assert entries(text) == []


@pytest.mark.parametrize("text", ["a,,b", "a,", ",a", ",", " , "])
def test_an_empty_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="has an empty entry; remove the comma"):
        entries(text)


@pytest.mark.parametrize("text", ['"a.example"', "'a.example'", '["a","b"]', 'a,"b"', "{a}"])
def test_quotes_and_lists_of_other_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quotes; separate the entries with commas alone"):
        entries(text)


def test_a_blank_within_an_entry_is_refused() -> None:
    with pytest.raises(ValueError, match="'a b' has a blank inside; separate the entries"):
        entries("a b,c")


# --- Hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("Digits.Example.COM", "digits.example.com"),
        ("my_app", "my_app"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("10.0.0.5", "10.0.0.5"),
        ("::1", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
    ],
)
def test_a_host_is_a_name_or_an_ip_address(given: str, read: str) -> None:
    assert hosts([given]) == [read]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("localhost:8000", "'localhost:8000' has a port; write the name alone.*: localhost$"),
        ("[::1]:8000", r"has a port; write the name alone, for any port: \[::1\]$"),
        ("https://a.example:8/x", "is an address; write the name alone: a.example$"),
        ("a.example/mlp", "is an address; write the name alone: a.example$"),
        ("a.*.example", r"a \* stands alone, or before the first dot: \*.example.com"),
        ("*a.example", r"a \* stands alone"),
        ("a.example.*", r"a \* stands alone"),
        ("**", r"a \* stands alone"),
        ("münchen.de", "not ASCII; write it as browsers send it: xn--mnchen-3ya.de"),
        ("a.example.", "ends with a dot; leave it out: a.example$"),
        ("-a", "is no host name"),
        ("a..b", "is no host name"),
        ("[localhost]", "is no host name"),
    ],
)
def test_a_host_in_another_form_is_refused_with_the_way_out(given: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        hosts([given])


def test_no_hosts_at_all_would_refuse_everything() -> None:
    with pytest.raises(ValueError, match="the list is empty"):
        hosts([])


@pytest.mark.parametrize(
    ("read", "given"), [(hosts, "me:hunter2@a.example"), (origins, "https://me:hunter2@a.example")]
)
def test_a_password_is_not_repeated(read: Callable[[list[str]], object], given: str) -> None:
    with pytest.raises(ValueError, match=r"user name; write .*a\.example$") as refused:
        read([given])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::", "[::1]", "*", ""])
def test_the_host_to_listen_on_is_a_name_or_an_address(host: str) -> None:
    assert address_settings.listening_host(host) == host


@pytest.mark.parametrize("host", ["localhost:8000", "http://localhost", '"localhost"', "a b"])
def test_the_host_to_listen_on_is_nothing_else(host: str) -> None:
    with pytest.raises(ValueError, match="write"):
        address_settings.listening_host(host)


# --- Origins --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefghij", "chrome-extension://abcdefghij"),
        ("null", "null"),
        ("*", "*"),
    ],
)
def test_an_origin_is_read_as_browsers_send_it(given: str, read: str) -> None:
    assert origins([given]) == [read]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("app.example", "has no scheme; write https://app.example or http://app.example$"),
        ("//app.example", "has no scheme; write https://app.example or"),
        ("https://app.example/", "has a path; write https://app.example$"),
        ("https://app.example:8/x?y", "has a path; write https://app.example:8$"),
        ("https://*.app.example", "write every origin out"),
        ("https://*", "write every origin out"),
        ("file://", "write null"),
        ("https://app.example.", "ends with a dot"),
        ("https://münchen.de", "xn--mnchen-3ya.de"),
        ("https://a:99999", "is no origin"),
        ("https://a:x", "is no origin"),
        ("https://", "is no host name"),
    ],
)
def test_an_origin_in_another_form_is_refused_with_the_way_out(given: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        origins([given])


# --- Proxies and the path prefix ------------------------------------------------------------------


def test_proxies_are_addresses_and_networks_or_everybody() -> None:
    assert proxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]) == [
        "127.0.0.1",
        "10.0.0.0/8",
        "fd00::/8",
    ]
    assert (proxies(["*"]), proxies([])) == (["*"], [])


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["10.0.0.5/8"], "is an address within a network; write 10.0.0.0/8$"),
        (["nginx"], "'nginx' is no IP address or network"),
        (["127.0.0.1:80"], "is no IP address or network"),
        (["*", "10.0.0.1"], r"'\*,10.0.0.1': a \* trusts every address; write it alone"),
    ],
)
def test_a_proxy_in_another_form_is_refused_with_the_way_out(given: list[str], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        proxies(given)


@pytest.mark.parametrize(
    ("given", "read"), [("", ""), ("/", ""), ("/mlp", "/mlp"), ("/mlp/", "/mlp"), ("/a/b", "/a/b")]
)
def test_a_prefix_has_no_slash_at_its_end(given: str, read: str) -> None:
    assert root_path(given) == read


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("mlp", "does not begin with a slash; write /mlp$"),
        ("https://a.example/mlp", "is an address; write its path alone"),
        ("/a//b", "is no plain path"),
        ("/../b", "is no plain path"),
        ("/a b", "is no plain path"),
        ("/a?b", "is no plain path"),
        ("/%61", "is no plain path"),
        ("/é", "is no plain path"),
        ("/v1", "begins like a route of the service"),
        ("/docs/x", "begins like a route of the service"),
    ],
)
def test_a_prefix_in_another_form_is_refused_with_the_way_out(given: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        root_path(given)


def test_no_route_of_the_service_can_be_taken_for_a_prefix() -> None:
    paths = {getattr(route, "path", "/") for route in create_app(Settings()).routes}
    first = {path.split("/")[1] for path in paths} - {""}
    assert first <= set(address_settings.OWN_SEGMENTS)
