"""Reads labelled images from archives: of pictures, or of files of other formats."""

from collections.abc import Mapping, Sequence

from service.ingest.archives import archived_files, picture_archives
from service.ingest.archives.archive_contents import contents_of
from service.ingest.arrays import array_source
from service.ingest.file_kind import FileKind
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import Reader, Source, UploadedFile
from service.ingest.tables import json_lines, parquet, table_files

ARCHIVED_READERS: Mapping[FileKind, Reader] = {
    FileKind.IDX: array_source.read,
    FileKind.NPY: array_source.read,
    FileKind.NPZ: array_source.read,
    FileKind.TABLE: table_files.read,
    FileKind.JSON_LINES: json_lines.read,
    FileKind.PARQUET: parquet.read,
}
"""The reader of each kind of file that is looked for in an archive without pictures."""


def read(files: Sequence[UploadedFile], options: IngestOptions, limits: Limits) -> Source:
    """Return the images of one or several zip or tar files.

    Raises:
        Unusable: an archive is damaged or hostile, or holds no labelled images.

    """
    contents = contents_of(files, limits)
    if contents.pictures:
        return picture_archives.read(contents, options, limits)
    return archived_files.read(contents, options, limits, ARCHIVED_READERS)
