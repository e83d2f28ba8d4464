"""UNIX sockets to listen on: made anew, but never taken from another program."""

import socket
import stat
from pathlib import Path

import pytest

from service.server.listen_socket import unix_socket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlp.sock"


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_every_user_may_connect_whatever_the_umask(path: Path) -> None:
    with unix_socket(path) as listener:
        listener.listen()
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        connect(path)


def test_a_socket_that_a_killed_server_has_left_is_replaced(path: Path) -> None:
    unix_socket(path).close()
    assert path.is_socket()
    with unix_socket(path) as listener:
        listener.listen()
        connect(path)


def test_a_socket_that_another_program_listens_on_is_left_alone(path: Path) -> None:
    with unix_socket(path) as other:
        other.listen()
        with pytest.raises(OSError, match=f"another program listens on {path}"):
            unix_socket(path)
        connect(path)


@pytest.mark.parametrize("kind", ["file", "directory", "link to a file"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        (path.parent / "precious").write_text("precious")
        path.symlink_to(path.parent / "precious")
    with pytest.raises(OSError, match="is a file that is no socket"):
        unix_socket(path)
    assert path.exists()


def test_a_path_that_is_too_long_or_has_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        unix_socket(tmp_path / ("x" * 200))
    with pytest.raises(FileNotFoundError):
        unix_socket(tmp_path / "none" / "mlp.sock")
