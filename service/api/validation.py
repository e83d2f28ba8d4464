"""What is wrong with a value, in this service's words: pydantic's speak of its own insides."""

from collections.abc import Mapping
from typing import Any

AN_OBJECT = ("model_attributes_type", "model_type", "dict_type")
WORDS = {
    **dict.fromkeys(AN_OBJECT, "must be an object"),
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("string_type", "string_unicode"), "must be text"),
    "list_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    **dict.fromkeys(("literal_error", "enum"), "must be {expected}"),
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters or less",
    "string_pattern_mismatch": "has characters that can't be used here, such as a line end",
    "too_short": "must not be empty",
    "too_long": "must have {max_length} items or less",
    "missing": "is missing",
}
"""By pydantic's name of an error; `{…}` is what it tells about it."""
FORMS = {
    "optimizer": 'for example "adamw" or {"type": "sgd", "momentum": 0.9}',
    "augmentation": 'for example {} or {"rotation": 5}; null leaves the images as they are',
}
"""What a field that takes an object may look like."""
SYNONYMS = {"lr": "learning_rate", "layers": "hidden"}
"""Of fields, as other libraries have them."""


def worded(error: Mapping[str, Any]) -> str:
    """Return what is wrong, as a sentence without its subject."""
    words = WORDS.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Value error, ")
    return words.format_map({name: _plain(it) for name, it in error.get("ctx", {}).items()})


def _plain(value: object) -> object:
    """Return 1000.0 as 1,000; other things as they are."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else value
