"""A network of its own for each host of a cluster, whose cables can be cut.

Each host runs in a network namespace, joined by a virtual cable to a bridge on which the database
and the bucket have an address each. Packets that are lost vanish without any error, as behind a
broken switch: they are sent to a hardware address that nobody has.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

NOBODY = "02:00:00:00:00:99"
"""The hardware address to which packets go that are to be lost."""
CABLE = "cable"
"""The name of a host's end of its cable."""
CUTS = ("database", "bucket", "both", "answers")
"""What may be lost: what a host sends to the database or to the bucket; everything in both
directions; or, in one direction only, what either of them answers."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def can_make_networks() -> bool:
    """Return whether this process may create network namespaces."""
    if os.geteuid() != 0:
        return False
    try:
        return subprocess.run(["ip", "netns", "list"], capture_output=True).returncode == 0 and (
            subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        return False


needs_networks = pytest.mark.skipif(
    not can_make_networks(), reason="only root may cut networks, with `ip` of the package iproute2"
)


class Network:
    """A bridge with two addresses, and hosts on cables of their own."""

    def __init__(self) -> None:
        """Choose names that no other run of the tests uses; nothing is created yet."""
        self._tag = f"mlp{os.getpid() % 100_000}"
        self._beginning = f"10.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
        self._hosts: list[str] = []

    @property
    def database(self) -> str:
        """The address at which hosts reach the database."""
        return f"{self._beginning}.1"

    @property
    def bucket(self) -> str:
        """The address at which hosts reach the bucket."""
        return f"{self._beginning}.2"

    @property
    def everyone(self) -> str:
        """All addresses of this network."""
        return f"{self._beginning}.0/24"

    def create(self) -> None:
        run("ip", "link", "add", self._tag, "type", "bridge")
        for address in (self.database, self.bucket):
            run("ip", "address", "add", f"{address}/24", "dev", self._tag)
        run("ip", "link", "set", self._tag, "up")

    def delete(self) -> None:
        """Delete the network, after its processes have been ended."""
        for name in self._hosts:
            run("ip", "netns", "delete", self._space(name))
        run("ip", "link", "delete", self._tag)

    def add(self, name: str) -> list[str]:
        """Lay a cable for a host; return the command that runs a process at its end."""
        self._hosts.append(name)
        space, ours = self._space(name), self._cable(name)
        run("ip", "netns", "add", space)
        run("ip", "link", "add", ours, "type", "veth", "peer", "name", CABLE, "netns", space)
        run("ip", "link", "set", ours, "master", self._tag, "up")
        run("ip", "-n", space, "address", "add", f"{self._address(name)}/24", "dev", CABLE)
        for device in ("lo", CABLE):
            run("ip", "-n", space, "link", "set", device, "up")
        return ["ip", "netns", "exec", space]

    @contextlib.contextmanager
    def cut(self, name: str, what: str) -> Iterator[None]:
        """Lose packets of a host within, see `CUTS`."""
        if what == "both":
            cable = ["ip", "link", "set", self._cable(name)]
            run(*cable, "down")
            yield
            run(*cable, "up")
            return
        if what == "answers":
            command, place = ["ip", "neighbour"], [self._address(name), "dev", self._tag]
        else:
            command = ["ip", "-n", self._space(name), "neighbour"]
            place = [self.database if what == "database" else self.bucket, "dev", CABLE]
        run(*command, "replace", *place, "lladdr", NOBODY, "nud", "permanent")
        yield
        run(*command, "delete", *place)

    def _space(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _cable(self, name: str) -> str:
        return f"{self._tag}-{self._hosts.index(name)}"

    def _address(self, name: str) -> str:
        return f"{self._beginning}.{10 + self._hosts.index(name)}"


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Provide a network without hosts, and delete it at the end."""
    found = Network()
    found.create()
    try:
        yield found
    finally:
        found.delete()
