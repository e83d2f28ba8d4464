"""Claims for which the owners of waiting rows take turns."""

from collections.abc import Collection, Sequence

from service.store.queue import Claim
from service.store.sql.connector import Connector
from service.store.sql.values import Row, in_list


class Turns:
    """Claims the rows of one table in turn.

    The owners take turns, so that one with many or slow rows does not keep others waiting for
    longer than one of them; the rows of an owner are taken in their order. Whose turn it was is
    forgotten when the process ends.
    """

    def __init__(self, connector: Connector, oldest: str, claim: str) -> None:
        """Create it.

        Args:
            connector: the database.
            oldest: selects `owner` and `number` of the oldest waiting row of each owner, oldest
                first; `{waiting}` is the place where rows are excluded.
            claim: takes the row `:number` and returns its `id` and `attempt`.

        """
        self._connector, self._oldest, self._claim = connector, oldest, claim
        self._claims = 0
        self._last_claim: dict[str | None, int] = {}
        """The number of the last claim for each owner who waits."""

    def claim(self, waiting: Collection[str]) -> Claim | None:
        """Take the row whose turn it is.

        Args:
            waiting: rows that wait to be tried again.

        """
        listed, parameters = in_list("waiting", waiting)
        excluded = f" AND id NOT IN ({listed})" if waiting else ""
        with self._connector.write() as transaction:
            found = transaction.rows(self._oldest.replace("{waiting}", excluded), **parameters)
            if not found:
                return None
            turn = min(found, key=lambda row: self._last_claim.get(row["owner"], 0))
            [row] = transaction.rows(self._claim, number=turn["number"])
        self._note_claim(turn["owner"], found)
        return Claim(row["id"], row["attempt"])

    def _note_claim(self, owner: str | None, found: Sequence[Row]) -> None:
        """Remember whose turn it was, among those who wait."""
        self._claims += 1
        waiting = {row["owner"] for row in found}
        known = {it: last for it, last in self._last_claim.items() if it in waiting}
        self._last_claim = {**known, owner: self._claims}
