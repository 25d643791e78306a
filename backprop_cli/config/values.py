"""Types of values that several keys share, or that need a check of their own."""

from __future__ import annotations

import os
import pathlib
import re
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from backprop_cli.config.registered import engine_names, loss_names, selectable_names

MAX_CLASSES = 10_000
MAX_THREADS = 1024
MAX_FLOAT = sys.float_info.max  # an integer may be larger: it is not infinite, and no float


def float32(value: float) -> float:
    """Return the float32 that is nearest to a number within its range."""
    nearest: float = struct.unpack("f", struct.pack("f", value))[0]
    return nearest


def not_a_boolean(value: object) -> object:
    """Refuse true and false where a number is expected."""
    # In Python True equals 1, and a Literal compares by equality.
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
        "part", "expected a count (5000), a fraction between 0 and 1 (0.1) or a file name"
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
    if isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= MAX_CLASSES:
        return value
    if (
        isinstance(value, list)
        and 2 <= len(value) <= MAX_CLASSES
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    ):
        return value
    raise PydanticCustomError(
        "classes",
        f"expected the number of classes (2 to {MAX_CLASSES}) or a list of as many distinct names",
    )


Classes = Annotated[
    int | list[str],
    PlainValidator(_check_classes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 2, "maximum": MAX_CLASSES},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 2,
                    "maxItems": MAX_CLASSES,
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
        and 1 <= len(value) <= MAX_CLASSES
        and all(isinstance(w, int | float) and not isinstance(w, bool) for w in value)
        and all(0.0 <= w <= MAX_FLOAT for w in value)
        and any(w > 0.0 for w in value)
    ):
        return [float(w) for w in value]
    raise PydanticCustomError(
        "class_weights",
        "expected 'balanced' or a list of one finite number >= 0 per class, not all of them 0",
    )


ClassWeights = Annotated[
    str | list[float],
    PlainValidator(_check_class_weights),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "balanced"},
                {
                    "type": "array",
                    "items": {"type": "number", "minimum": 0},
                    "minItems": 1,
                    "maxItems": MAX_CLASSES,
                },
            ]
        }
    ),
]

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


def _check_path(value: object) -> str:
    # Not a type of pydantic's own, which has no place for names that are no UTF-8.
    if not isinstance(value, str):
        raise PydanticCustomError("path", "expected text")
    if not value:
        raise PydanticCustomError("path", "expected text that is not empty")
    try:
        os.fsencode(value)  # bytes of a name that are no UTF-8 are surrogates; others are no bytes
    except UnicodeEncodeError:
        raise PydanticCustomError("path", "expected a path in valid Unicode") from None
    if "\0" in value:
        raise PydanticCustomError("path", "expected a path without NUL characters")
    try:
        pathlib.Path(value).expanduser()
    except RuntimeError:
        raise PydanticCustomError("path", "expected a path of an existing user") from None
    return value


FilePath = Annotated[
    str, PlainValidator(_check_path), WithJsonSchema({"type": "string", "minLength": 1})
]


def _check_threads(value: object) -> int | str:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_THREADS):
        return value
    raise PydanticCustomError("threads", f"expected auto or a number from 1 to {MAX_THREADS}")


Threads = Annotated[
    int | Literal["auto"],
    PlainValidator(_check_threads),
    WithJsonSchema(
        {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_THREADS}]}
    ),
]


_MAX_MEMORY = 2**60
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(B|[kKMGT]B|[KMGT]iB|)")
_UNITS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip


def memory_bytes(value: int | str) -> int:
    """Return the bytes of a size such as 2000000 or "2 MB"; raises ValueError if it is none."""
    found = _SIZE.fullmatch(str(value))
    size = 0.0 if found is None else float(found[1]) * _UNITS[found[2]]
    if not 1 <= size < _MAX_MEMORY:  # infinity is not
        raise ValueError(f"expected a size, found {value!r}")
    return int(size)


def _check_memory(value: object) -> int | str:
    if value in ("auto", "all"):
        return str(value)
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            memory_bytes(value)
        except ValueError:
            pass
        else:
            return value
    raise PydanticCustomError(
        "memory", "expected a size such as 2 GB or 500 MiB (or bytes), auto, or all"
    )


Memory = Annotated[
    int | str,
    PlainValidator(_check_memory),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}),
]


def _check_epochs(value: object) -> int | str:
    if value == "auto" or (type(value) is int and 1 <= value <= 1_000_000_000):
        return value
    raise PydanticCustomError("epochs", "expected an integer >= 1, or auto")


Epochs = Annotated[
    int | Literal["auto"],
    PlainValidator(_check_epochs),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]}),
]


def _check_rate(value: object) -> float | str:
    if value == "auto":
        return "auto"
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_FLOAT:
        return float(value)
    raise PydanticCustomError("rate", "expected a finite number > 0, or auto")


Rate = Annotated[
    float | Literal["auto"],
    PlainValidator(_check_rate),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "number", "exclusiveMinimum": 0}]}),
]


@dataclass(frozen=True)
class Choice:
    """Accepts the names that a function returns, as a `typing.Literal` of them would.

    Unlike a Literal it asks for the names when a value is checked or a JSON schema is made.

    Parameters
    ----------
    names
        Returns the accepted names.
    """

    names: Callable[[], Sequence[str]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self.names()), "type": "string"}

    def _check(self, value: object) -> object:
        names = list(self.names())
        if value not in names:
            raise PydanticCustomError("choice", "expected one of {names}", {"names": names})
        return value


def _backend_names() -> tuple[str, ...]:
    return ("auto", *engine_names())


LossName = Annotated[str, Choice(loss_names)]
FigureName = Annotated[str, Choice(selectable_names)]
BackendName = Annotated[str, Choice(_backend_names)]
