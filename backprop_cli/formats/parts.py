"""What the files of a config hold."""

from __future__ import annotations

from dataclasses import dataclass

from backprop_cli.sources import Source


@dataclass(frozen=True)
class Parts:
    """The files of a config, before anything is held out.

    Attributes
    ----------
    train
        The training files.
    validation, test
        Named files; None where the part is to be held out of ``train``.
    class_names
        None where the format does not tell.
    """

    train: Source
    validation: Source | None
    test: Source | None
    class_names: tuple[str, ...] | None
