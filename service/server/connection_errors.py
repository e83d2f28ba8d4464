"""Problem documents for errors of the connection itself, written before any application runs."""

from service.api import problem_responses
from service.server import request_id
from service.server.request_guard import SECURITY_HEADERS
from service.server.uvicorn_internals import STATUS_LINE

CLIENT_TIMEOUT_SECONDS = 6
"""Time limit for a client to send all headers of a request, to send the first byte of a body, and
to read the first byte of a response."""
MIN_BYTES_PER_SECOND = 16 * 1024
"""Body bytes sent and response bytes read extend the time limit at this rate."""
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADER_LINES = 100

DETAILS = {
    "bad-request": "The bytes received are not an HTTP/1.1 request, or the request came in too "
    "many pieces.",
    "request-timeout": f"The rest of the request did not arrive within {CLIENT_TIMEOUT_SECONDS} "
    f"seconds, or it arrived more slowly than {MIN_BYTES_PER_SECOND // 1024} KiB per second.",
    "headers-too-large": f"The URL and headers may have at most {MAX_HEADER_BYTES // 1024} KiB "
    f"and {MAX_HEADER_LINES} lines.",
    "too-many-connections": "The server has as many connections as MLP_MAX_CONNECTIONS allows; "
    "try again.",
}


def response_bytes(code: str, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the whole HTTP response for a problem in `DETAILS`; it closes the connection."""
    id_ = request_id.new()
    problem = problem_responses.problem(code, DETAILS[code]).model_copy(update={"request_id": id_})
    headers = {**SECURITY_HEADERS, "Request-Id": id_, "Connection": "close"}
    response = problem_responses.answer(problem, headers)
    if response.status_code == 503:
        response.headers["Retry-After"] = problem_responses.RETRY_SECONDS
    lines = [b"%s: %s\r\n" % header for header in [*default_headers, *response.raw_headers]]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", response.body])
