"""Files that commands write where they are told to."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backprop_cli.errors import OutputError

if TYPE_CHECKING:
    from backprop_cli.config.data import DataSection


def refuse_suffix(output: str, suffixes: Sequence[str]) -> None:
    """Refuse a name that does not end in one of some suffixes."""
    if pathlib.Path(output).suffix not in suffixes:
        raise OutputError(f"{output}: expected a name that ends in {' or '.join(suffixes)}")


def refuse_data(output: str, data: DataSection, inputs: Sequence[str] = ()) -> None:
    """Refuse to overwrite the data of a run, and files that the command reads."""
    from backprop_cli.formats.files import matching

    own = [getattr(data, key) for key in data.file_keys()]
    for text in [*inputs, *(value for value in own if isinstance(value, str))]:
        same = False
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # no such file
            same = any(map(pathlib.Path(output).samefile, matching(text)))
        if same:
            raise OutputError(f"{output}: holds data ({text}); choose another name")
