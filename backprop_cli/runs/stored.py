"""What a run directory says in JSON, checked before it is used: a schema for each file."""

from __future__ import annotations

import json
import pathlib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from backprop_cli.config.problems import first_problem
from backprop_cli.errors import ModelFileError, first_line
from backprop_cli.regular import read_regular

T = TypeVar("T")

MAX_NUMBER = 1e200
"""Of a stored figure: losses, norms and steps are far below, and their squares do not overflow."""

Figure = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[int, Field(ge=0, le=10**10)]


class Stored(BaseModel):
    """A part of a file. Lossy conversions, NaN and infinity are refused; unknown keys ignored."""

    # Built when it is first used: most are for a run that goes on.
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


def mistake(expected: str) -> PydanticCustomError:
    """Return the error of a check that types do not express."""
    return PydanticCustomError("own", "{expected}", {"expected": f"expected {expected}"})


def parsed(text: str | bytes) -> Any:
    """Return the value that JSON stands for; raises ValueError.

    Not pydantic's parser, which refuses names of files that are no UTF-8.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("expected JSON, found brackets that are nested too deeply") from error


def problem(error: ValueError) -> str:
    """Return the first thing that is wrong with a value, in words."""
    return first_problem(error) if isinstance(error, ValidationError) else first_line(error)


def read_stored(path: pathlib.Path, schema: type[T], what: str, max_bytes: int) -> T | None:
    """Read a file of JSON; None if there is none.

    Parameters
    ----------
    path
        The file.
    schema
        What it must hold.
    what
        What to call it in messages, as in "the summary of a run".
    max_bytes
        A larger file is refused.

    Raises
    ------
    ModelFileError
        It cannot be read, or holds something else.
    """
    try:
        return TypeAdapter(schema).validate_python(parsed(read_regular(path, max_bytes)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read: {error.strerror or error}") from error
    except ValueError as error:
        raise ModelFileError(f"{path}: not {what}: {problem(error)}") from error
