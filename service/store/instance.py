"""The identifier of a data directory: it tells hosts apart and, with SQLite, services."""

import re
import secrets
from pathlib import Path

from service.domain.errors import StoreBroken
from service.store.durable_files import create_once, store_error

FILE = "instance"
FORM = re.compile(r"[0-9a-f]{16}")


def new_instance() -> str:
    """Return an identifier that nothing else has."""
    return secrets.token_hex(8)


def instance_of(directory: Path) -> str:
    """Return the identifier of a data directory; the first call creates it.

    A backup does not contain it: what happens in a copy is another story.

    Raises:
        StoreBroken: the file can't be read or written, or holds something else.

    """
    path = directory / FILE
    try:
        create_once(path, lambda: new_instance().encode())
        found = path.read_text("ascii", "replace").strip()
    except OSError as exc:
        raise store_error(f"read or write {path}", exc) from exc
    if not FORM.fullmatch(found):
        raise StoreBroken(f"{path} is damaged; delete it, and the next start creates it again")
    return found
