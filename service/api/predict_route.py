"""The route of predictions, and the one test whether a request is a prediction."""

from starlette.routing import compile_path

PREFIX, PATH = "/v1/models", "/{ref}/predict"
_PATTERN = compile_path(PREFIX + PATH)[0]


def is_prediction(method: str, path: str) -> bool:
    """Return whether the router passes a request with this method and path to `predict`."""
    # The router uses `match` too, which also accepts a line feed (%0A) after the path.
    return method == "POST" and _PATTERN.match(path) is not None
