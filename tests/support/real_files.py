"""Files as people really have them, with the answer that each of them should get.

The files are not part of the project: their licences allow passing them on, and each has its own.
`python -m benchmarks.real_files FOLDER` prints the table of expected and given answers.
"""

import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.ingest.check import Failed, check
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import UploadedFile

FOLDER = Path(os.environ.get("REAL_FILES_FOLDER", Path(__file__).parents[3] / "shared" / "data"))
"""The folder of the files: beside the project, unless the variable names another place."""


@dataclass(frozen=True)
class Outcome:
    """What a check has answered."""

    report: Mapping[str, Any]

    @property
    def is_ready(self) -> bool:
        return "errors" not in self.report

    @property
    def warnings(self) -> dict[str, int]:
        return {warning["code"]: warning["count"] for warning in self.report["warnings"]}

    @property
    def words(self) -> str:
        """All that a refusal says."""
        errors = self.report.get("errors", [])
        parts = (" ".join((it["code"], it["place"], it["detail"], it["hint"])) for it in errors)
        return "\n".join(parts)

    def __str__(self) -> str:
        if not self.is_ready:
            first = self.report["errors"][0]
            return f"refused, {first['code']}: {first['place']} {first['detail']}".replace(
                ":  ", ": "
            )
        rows = "/".join(str(count) for count in self.report["rows"].values())
        shape = "x".join(map(str, self.report["shape"]))
        noted = ", ".join(f"{code} {count}" for code, count in self.warnings.items())
        told = f"{len(self.report['classes'])} classes, {rows} of {shape}, {self.report['input']}"
        return f"{told}; {noted}" if noted else told


@dataclass(frozen=True)
class Refused:
    """The answer that files can't be used, for which a pattern is found in what is said."""

    pattern: str

    def __str__(self) -> str:
        return f"refused: {self.pattern}"

    def differences(self, outcome: Outcome, run: Callable[[str], Outcome]) -> list[str]:
        """Return in what an outcome is another one."""
        if outcome.is_ready:
            return ["it was taken"]
        if not re.search(self.pattern, outcome.words, re.DOTALL | re.IGNORECASE):
            return [f"it says {outcome.words!r}"]
        return []


@dataclass(frozen=True)
class Ready:
    """The answer that files are a data set, with what must have been found."""

    classes: int
    rows: int | tuple[int, ...]
    """The number of all rows, or of those of each split."""
    shape: tuple[int, ...] = (28, 28)
    input: str = "image"
    warnings: Mapping[str, int | None] = field(default_factory=dict)
    """The warnings that must be there, with their counts if these matter."""
    found: Mapping[str, Any] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    """Names of the first classes."""
    like: str = ""
    """The file that has the same digest."""
    told: str = ""
    """A pattern that is found in the report."""

    def __str__(self) -> str:
        rows = self.rows if isinstance(self.rows, int) else "/".join(map(str, self.rows))
        parts = [f"{self.classes} classes, {rows} of {'x'.join(map(str, self.shape))}", self.input]
        parts += [
            f"{code} {'' if count is None else count}".strip()
            for code, count in self.warnings.items()
        ]
        parts += [f"{name} {value}" for name, value in self.found.items()]
        parts += [f"classes {', '.join(self.first)} …"] * bool(self.first)
        parts += [f"the digest of {self.like}"] * bool(self.like)
        parts += [f"told: {self.told}"] * bool(self.told)
        return ", ".join(parts)

    def differences(self, outcome: Outcome, run: Callable[[str], Outcome]) -> list[str]:
        """Return in what an outcome is another one."""
        if not outcome.is_ready:
            return [f"it was refused: {outcome.words}"]
        report = outcome.report
        counts = tuple(report["rows"].values())
        pairs: dict[str, tuple[Any, Any]] = {
            "classes": (self.classes, len(report["classes"])),
            "rows": (self.rows, counts if isinstance(self.rows, tuple) else sum(counts)),
            "shape": (list(self.shape), report["shape"]),
            "input": (self.input, report["input"]),
        }
        names = tuple(it["name"] for it in report["classes"][: len(self.first)])
        pairs["first classes"] = self.first, names
        for code, count in self.warnings.items():
            given = outcome.warnings.get(code)
            pairs[code] = (count or given or "some", given)
        for name, value in self.found.items():
            pairs[name] = value, report["found"].get(name)
        if self.like:
            pairs["digest"] = run(self.like).report.get("sha256"), report["sha256"]
        differ = [
            f"{name}: {given}, not {wanted}"
            for name, (wanted, given) in pairs.items()
            if wanted != given
        ]
        if self.told and not re.search(self.told, str(report)):
            differ.append(f"nothing says {self.told!r}")
        return differ


@dataclass(frozen=True)
class Answered:
    """Any answer: the files are hostile or strange, and nothing may crash, hang or escape."""

    def __str__(self) -> str:
        return "any answer, but no crash"

    def differences(self, outcome: Outcome, run: Callable[[str], Outcome]) -> list[str]:
        """Return in what an outcome is another one: that there is one is enough."""
        return []


@dataclass(frozen=True)
class RealFile:
    """One upload of one or several files, or of a folder, which is sent as a zip file."""

    name: str
    answer: Ready | Refused | Answered
    paths: tuple[str, ...] = ()
    """The paths of the files; the name is the path if this is empty."""
    options: Mapping[str, Any] = field(default_factory=dict)


class RealFiles:
    """Checks the files of a folder, each of them once."""

    def __init__(self, folder: Path, files: Mapping[str, RealFile]) -> None:
        self._folder = folder
        self._files = files
        self._outcomes: dict[str, Outcome] = {}

    def outcome(self, name: str) -> Outcome:
        """Return the answer to an upload."""
        if name not in self._outcomes:
            file = self._files[name]
            self._outcomes[name] = self._checked(file.paths or (name,), file.options)
        return self._outcomes[name]

    def differences(self, name: str) -> list[str]:
        """Return in what the answer to an upload is not the expected one."""
        return self._files[name].answer.differences(self.outcome(name), self.outcome)

    def _checked(self, paths: tuple[str, ...], options: Mapping[str, Any]) -> Outcome:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "folder"
            folder.mkdir()
            files = [_upload(self._folder / path, Path(place)) for path in paths]
            try:
                checked = check(
                    files, IngestOptions.from_record(options), folder, Limits(), lambda *_: None
                )
            except Failed as failed:
                return Outcome(failed.report)
            return Outcome(checked.report)


def _upload(path: Path, place: Path) -> UploadedFile:
    if not path.is_dir():
        return UploadedFile(path, path.name)
    packed = place / f"{path.name}.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path.rglob("*")):
            archive.write(file, file.relative_to(path))
    return UploadedFile(packed, packed.name)
