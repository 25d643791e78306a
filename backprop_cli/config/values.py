"""The kinds of values that several keys have, or that need a check of their own."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MOST_CLASSES = 10_000
MOST_THREADS = 1024


def not_a_truth_value(value: object) -> object:
    """Refuse true and false where a number is meant."""
    # In Python True equals 1, and a Literal compares.
    if isinstance(value, bool):
        raise PydanticCustomError("number", "expected a number")
    return value


def _check_part(value: object) -> int | float | str:
    # One message for the three kinds; a union of types would give three.
    if isinstance(value, str) and value:
        return _check_path(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, float) and 0.0 < value < 1.0:
        return value
    raise PydanticCustomError(
        "part", "expected a count (5000), a fraction between 0 and 1 (0.1) or a file's name"
    )


Part = Annotated[
    int | float | str,
    PlainValidator(_check_part),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "minLength": 1},
            ]
        }
    ),
]


def _check_classes(value: object) -> int | list[str]:
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= MOST_CLASSES:
        return value
    if (
        isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    ):
        return value
    raise PydanticCustomError(
        "classes",
        f"expected the number of classes (2 to {MOST_CLASSES}) or a list of their distinct names",
    )


Classes = Annotated[
    int | list[str],
    PlainValidator(_check_classes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 2, "maximum": MOST_CLASSES},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 2,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]


def _check_class_weights(value: object) -> str | list[float]:
    if value == "balanced":
        return "balanced"
    if (
        isinstance(value, list)
        and value
        and all(isinstance(w, int | float) and not isinstance(w, bool) for w in value)
        and all(0.0 <= w < float("inf") for w in value)
        and any(w > 0.0 for w in value)
    ):
        return [float(w) for w in value]
    raise PydanticCustomError(
        "class_weights",
        "expected 'balanced' or a list of one finite number >= 0 a class, not all of them 0",
    )


ClassWeights = Annotated[
    str | list[float],
    PlainValidator(_check_class_weights),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "balanced"},
                {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 1},
            ]
        }
    ),
]

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _check_path(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("path", "expected a path, which has no NUL character")
    try:
        pathlib.Path(value).expanduser()
    except RuntimeError:
        raise PydanticCustomError("path", "expected a path; there is no such user") from None
    return value


FilePath = Annotated[Text, AfterValidator(_check_path)]


def _check_threads(value: object) -> int | str:
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_THREADS):
        return value
    raise PydanticCustomError("threads", f"expected auto or a number from 1 to {MOST_THREADS}")


Threads = Annotated[
    int | Literal["auto"],
    PlainValidator(_check_threads),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_THREADS}]}
    ),
]
