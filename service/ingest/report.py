"""What a check has found so far, and the report about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from service.domain.dataset_manifest import Manifest
from service.ingest.class_names import Classes
from service.ingest.refusal import Flaw
from service.ingest.source import MOST_EXAMPLES, Doubt, Source


@dataclass
class Findings:
    """What a check has found, as far as it has come."""

    found: dict[str, Any] = field(default_factory=dict)
    """Facts of the check itself, beside those of the reader."""
    source: Source | None = None
    classes: Classes | None = None
    counts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    manifest: Manifest | None = None
    bytes: int = 0

    def report(self, flaws: Sequence[Flaw] = ()) -> dict[str, Any]:
        """Return the report, as JSON can hold it.

        Args:
            flaws: why the files can't be used.

        """
        record: dict[str, Any] = {
            "rows": {split: sum(counts) for split, counts in self.counts.items()},
            "classes": self._classes(),
            "found": self._found(),
            "warnings": [_doubt(doubt) for doubt in self._doubts()],
        }
        if self.manifest:
            record |= {
                "shape": list(self.manifest.shape),
                "channels": self.manifest.channels,
                "input": str(self.manifest.input),
                "sha256": self.manifest.sha256,
                "bytes": self.bytes,
            }
        if flaws:
            record["errors"] = [asdict(flaw) for flaw in flaws]
        return record

    def _classes(self) -> list[dict[str, Any]]:
        if not self.classes:
            return []
        rows = zip(self.classes.names, self.classes.sources, strict=True)
        return [
            {"index": index, "name": name, "source": source or None}
            | {split: counts[index] for split, counts in self.counts.items()}
            for index, (name, source) in enumerate(rows)
        ]

    def _found(self) -> dict[str, Any]:
        facts = dict(self.source.found) if self.source else {}
        if self.source and self.source.ignored:
            facts["ignored"] = dict(self.source.ignored)
        return facts | self.found

    def _doubts(self) -> list[Doubt]:
        return [*(self.source.doubts if self.source else []), *self.doubts]


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return asdict(doubt) | {"examples": doubt.examples[:MOST_EXAMPLES]}
