"""The identifier of a data directory, by which clients notice that they talk to another one."""

import os
import re
import secrets
from pathlib import Path

from service.domain.errors import StoreBroken
from service.store.durable_files import store_error, sync

FILE = "instance"
FORM = re.compile(r"[0-9a-f]{16}")


def instance_of(directory: Path) -> str:
    """Return the identifier of a data directory; the first call creates it.

    It is complete before it has its name, so a process may die at any point, and of two processes
    one creates it for both. A backup does not contain it: what happens in a copy is another story.

    Raises:
        StoreBroken: the file can't be read or written, or holds something else.

    """
    path = directory / FILE
    try:
        if not path.exists():
            _create(path)
        found = path.read_text("ascii", "replace").strip()
    except OSError as exc:
        raise store_error(f"read or write {path}", exc) from exc
    if not FORM.fullmatch(found):
        raise StoreBroken(f"{path} is damaged; delete it, and the next start creates it again")
    return found


def _create(path: Path) -> None:
    made = secrets.token_hex(8)
    temporary = path.with_name(f".{path.name}.{made}.tmp")  # threads may do this concurrently
    temporary.write_text(made, "ascii")
    sync(temporary)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process was faster
    finally:
        temporary.unlink()
    sync(path.parent)
