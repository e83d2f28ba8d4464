"""What can be the name of a data set."""

import re

from mlp_client.dataset_options import NAME_PATTERN
from service.api.validation import shortened
from service.store.dataset_queue import DRY_RUN

NAME_RULE = (
    "A data set's name has up to 63 lower-case letters, digits, dots, dashes and underscores, and "
    "begins with a letter or digit"
)


def name_flaw(name: str) -> str | None:
    """Return why this can't be the name of a new data set, or None if it can."""
    if name.startswith(DRY_RUN):
        return f"Names that begin with {DRY_RUN!r} belong to the service."
    if re.fullmatch(NAME_PATTERN, name):
        return None
    suggestion = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63]
    hint = f"; {suggestion!r} would do" if suggestion else ""
    return f"{NAME_RULE}, so {shortened(name)!r} can't be one{hint}."
