"""Manifests as the database holds them: JSON, read once for all rows that have the same one."""

import json
from functools import lru_cache

from service.domain.dataset_manifest import Manifest
from service.store.shipped_mnist import MANIFEST


def encode_manifest(manifest: Manifest) -> str:
    """Return a manifest as text."""
    return json.dumps(manifest.as_record(), separators=(",", ":"))


@lru_cache
def decode_manifest(text: str) -> Manifest:
    """Return the manifest that `encode_manifest` has written."""
    return Manifest.from_record(json.loads(text))


def manifest_of_job(text: str | None) -> Manifest:
    """Return the manifest in a job's row; rows of versions without it mean MNIST."""
    return MANIFEST if text is None else decode_manifest(text)
