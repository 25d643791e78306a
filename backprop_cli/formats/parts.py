"""What the files of a config hold."""

from __future__ import annotations

from dataclasses import dataclass

from backprop_cli.formats.columns import Column
from backprop_cli.formats.labels import Labels
from backprop_cli.sources import Source


@dataclass(frozen=True)
class Part:
    """Some files of a config: examples, and their labels as the files have them.

    Attributes
    ----------
    source
        The examples, without labels.
    labels
        One per example.
    """

    source: Source
    labels: Labels


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
        None where neither the format nor the config tells: they are the training labels then.
    groups
        The group of each training example; None where there are none.
    """

    train: Part
    validation: Part | None
    test: Part | None
    class_names: tuple[str, ...] | None
    groups: Column | None = None
