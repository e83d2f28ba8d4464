"""The routes of predictions, and the one test whether a request is a prediction."""

from functools import lru_cache

from starlette.routing import compile_path

PREFIX, PATH = "/v1/models", "/{ref}/predict"
ARRAY_PATH = f"{PATH}.npy"
"""Answers with an array whatever the client accepts, as the suffixes of other routes decide too."""
KEPT = 100
"""Several layers ask about the path of each request; the last few answers are kept."""
_PATTERN = compile_path(PREFIX + PATH)[0]
_ARRAY_PATTERN = compile_path(PREFIX + ARRAY_PATH)[0]


def is_prediction(method: str, path: str) -> bool:
    """Return whether the router passes a request with this method and path to a prediction."""
    # The router uses `match` too, which also accepts a line feed (%0A) after the path.
    return method == "POST" and _matches(path)


@lru_cache(KEPT)
def answers_with_array(path: str) -> bool:
    """Return whether a prediction with this path is answered with an array."""
    return _ARRAY_PATTERN.match(path) is not None


@lru_cache(KEPT)
def _matches(path: str) -> bool:
    return _PATTERN.match(path) is not None or _ARRAY_PATTERN.match(path) is not None
