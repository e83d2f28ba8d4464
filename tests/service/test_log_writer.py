"""Lines are written together, in order, and never wait for whoever reads them."""

import io
import os
import time
from collections.abc import Iterator
from typing import TextIO

import pytest

from service import log_writer
from service.log_writer import LogWriter


def describe(lost: int) -> str:
    return f"lost {lost}\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """A pipe: the descriptor of its reading end, and its writing end as a stream."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def test_lines_are_written_by_flush_and_not_before(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    os.set_blocking(reading, False)
    writer = LogWriter(stream, describe)
    writer.add("a\n")
    writer.add(lambda: "made when it is written\n")
    with pytest.raises(BlockingIOError):
        os.read(reading, 100)
    assert writer.flush()
    assert os.read(reading, 100) == b"a\nmade when it is written\n"


def test_a_pipe_that_nobody_reads_does_not_block_and_loses_only_what_exceeds_the_limit(
    pipe: tuple[int, TextIO],
) -> None:
    reading, stream = pipe
    writer = LogWriter(stream, describe)
    sent = [f"{number:0999d}\n" for number in range(3000)]
    started = time.monotonic()
    for line in sent:
        writer.add(line)
        writer.flush()
    assert time.monotonic() - started < 5
    assert not writer.flush()
    received = b""
    os.set_blocking(reading, False)
    while True:
        writer.flush()
        try:
            received += os.read(reading, 2**20)
        except BlockingIOError:
            break
    lines = received.decode().splitlines(keepends=True)
    assert lines[:-1] == sent[: len(lines) - 1]
    assert lines[-1] == describe(len(sent) - len(lines) + 1)
    assert log_writer.MAX_WAITING_BYTES <= len(received) < 2 * log_writer.MAX_WAITING_BYTES


def test_a_reader_that_has_gone_does_no_harm() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        os.close(reading)
        writer = LogWriter(stream, describe)
        for _ in range(3):
            writer.add("nobody reads this\n")
            assert writer.flush()


def test_a_closed_stream_does_no_harm(pipe: tuple[int, TextIO]) -> None:
    stream = pipe[1]
    writer = LogWriter(stream, describe)
    stream.close()
    writer.add("this is lost\n")
    assert writer.flush()


def test_a_process_without_standard_error_logs_nothing() -> None:
    writer = LogWriter(None, describe)
    writer.add("this is lost\n")
    assert writer.flush()


def test_a_stream_without_a_file_gets_the_lines() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream, describe)
    writer.add("a\n")
    writer.close()
    assert stream.getvalue() == "a\n"


def test_text_that_is_no_unicode_is_escaped(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    writer = LogWriter(stream, describe)
    writer.add("\udcff\n")
    writer.flush()
    assert os.read(reading, 100) == b"\\udcff\n"


def test_closing_waits_for_a_slow_reader_but_not_forever(pipe: tuple[int, TextIO]) -> None:
    writer = LogWriter(pipe[1], describe)
    writer.add("x" * 2**17)
    started = time.monotonic()
    writer.close()
    assert log_writer.PATIENCE_SECONDS <= time.monotonic() - started < 5
