"""Checks the options of a prediction against the network that is asked."""

from collections.abc import Iterator
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

from service.domain.dataset_manifest import InputForm, Manifest
from service.inference.predict import Options

ONLY_DIGITS = (
    "can be `always` for networks that were trained on digits only; images of others are fitted to "
    "their size with `auto`"
)
DEFAULT_TOP_K = Options().top_k


def check_options(in_query: Options, chosen: Options, manifest: Manifest) -> None:
    """Check the options of a request.

    Args:
        in_query: those in the query alone.
        chosen: those in the query and the body.
        manifest: of the set on which the network was trained.

    Raises:
        RequestValidationError: the network has fewer classes than an option needs, or what is
            wanted is not for its kind of input.
        HTTPException: the class that is explained is its own rival.

    """
    errors = [
        {**error, "loc": (_place(in_query, chosen, attribute), name), "input": None}
        for (name, attribute), error in _flaws(chosen, manifest)
    ]
    if errors:
        raise RequestValidationError(errors)
    if chosen.for_ is not None and chosen.for_ == chosen.against:
        kind = "digits" if manifest.input is InputForm.DIGIT else "classes"
        raise HTTPException(422, f"`for` and `against` must be two different {kind}.")


def _place(in_query: Options, chosen: Options, attribute: str) -> str:
    same = getattr(in_query, attribute) == getattr(chosen, attribute)
    return "query" if same else "body"


Flaw = tuple[tuple[str, str], dict[str, Any]]
"""An option's name and its attribute, and an error in pydantic's form."""


def _flaws(chosen: Options, manifest: Manifest) -> Iterator[Flaw]:
    k = len(manifest.classes)
    if chosen.top_k > max(k, DEFAULT_TOP_K):
        yield ("top_k", "top_k"), _at_most(k)
    for name, attribute in (("for", "for_"), ("against", "against")):
        label = getattr(chosen, attribute)
        if label is not None and label >= k:
            yield (name, attribute), _at_most(k - 1)
    if k == 1 and chosen.explains:
        yield ("return", "return_"), _wrong("needs a network with two classes or more")
    if manifest.input is not InputForm.DIGIT and chosen.normalize == "always":
        yield ("normalize", "normalize"), _wrong(ONLY_DIGITS)
    if manifest.input is InputForm.VECTOR:
        yield from _pictures_of_vectors(chosen)


def _pictures_of_vectors(chosen: Options) -> Iterator[Flaw]:
    error = _wrong("can't name pixels: this network was trained on a table, not on pictures")
    if "pixels" in chosen.return_:
        yield ("return", "return_"), error
    if chosen.return_pixels:
        yield ("return_pixels", "return_pixels"), error


def _at_most(highest: int) -> dict[str, Any]:
    return {"type": "less_than_equal", "ctx": {"le": highest}}


def _wrong(message: str) -> dict[str, Any]:
    return {"type": "value_error", "msg": message}
