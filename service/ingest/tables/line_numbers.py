"""Numbers the rows of several text files through by their lines, so that each tells its place."""

from bisect import bisect_right
from collections.abc import Sequence

from service.ingest.limits import Limits
from service.ingest.refusal import unusable


class LineNumbers:
    """The numbers of rows that are read file by file, in order."""

    def __init__(self, places: Sequence[str], limits: Limits) -> None:
        """Begin with the first file.

        Args:
            places: the name of each file in errors; empty if there is only one.
            limits: of the number of rows.

        """
        self._places, self._limits = places, limits
        self.restart()

    def restart(self) -> None:
        """Begin anew with the first file."""
        self._starts = [0]
        self._next = self._count = 0

    def of(self, file: int, lines: Sequence[int]) -> list[int]:
        """Return the numbers of the next rows, counted from 0 over all lines of all files.

        Args:
            file: the place of the file among all.
            lines: of the rows in it, counted from 1.

        Raises:
            Unusable: there are more rows than the limits allow.

        """
        while len(self._starts) <= file:
            self._starts.append(self._next)
        self._count += len(lines)
        if self._count > self._limits.rows:
            detail = f"It has more than {self._limits.rows:,} rows."
            raise unusable("too_large", detail, self._places[file], "Send fewer rows.")
        numbers = [self._starts[file] + line - 1 for line in lines]
        self._next = numbers[-1] + 1
        return numbers

    def place(self, row: int) -> str:
        """Name the line of a row that has been read."""
        file = bisect_right(self._starts, row) - 1
        return line_place(self._places[file], row - self._starts[file] + 1)


def line_place(file: str, line: int) -> str:
    """Name a line of a file, which needs no name if there is only one."""
    return f"{file}, line {line}" if file else f"line {line}"
