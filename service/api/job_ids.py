"""Several jobs in one query parameter: their ids, separated by commas."""

from fastapi import HTTPException


def listed_ids(jobs: str, most: int) -> list[str]:
    """Return the ids in the parameter `jobs`, each of them once.

    Raises:
        HTTPException: there are none, or more than `most`.

    """
    ids = list(dict.fromkeys(part.strip() for part in jobs.split(",") if part.strip()))
    if not 1 <= len(ids) <= most:
        raise HTTPException(422, f"?jobs takes 1 to {most} ids, separated by commas.")
    return ids
