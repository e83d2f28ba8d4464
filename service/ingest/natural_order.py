"""The order in which people list numbered names: 2 before 10."""

import re


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts 2 before 10, as people count."""
    parts = re.split(r"(\d+)", text)
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in parts
        if part
    ]
