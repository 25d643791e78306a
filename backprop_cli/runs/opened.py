"""Opening a run for a command that works with its model: its config, model, summary and data."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backprop_cli.config import Config
from backprop_cli.config.data import NpyData
from backprop_cli.errors import ConfigError, DataError, ModelFileError
from backprop_cli.formats import load_dataset
from backprop_cli.model import LinearModel
from backprop_cli.runs.run_directory import Summary, load_run, load_summary, model_digest
from backprop_cli.sources import Dataset, Split, survey


@dataclass(frozen=True)
class OpenedRun:
    """A run, and the data that it was trained on or that it is given instead.

    Attributes
    ----------
    path
        The run directory.
    config
        Complete, with the overrides.
    model
        The trained model.
    summary
        The figures at the end of the training; None if it has not finished.
    dataset
        The data that the config names.
    has_own_data
        Whether that is the data of the run itself: no override names another.
    fingerprint
        Of the data.
    """

    path: pathlib.Path
    config: Config
    model: LinearModel
    summary: Summary | None
    dataset: Dataset
    has_own_data: bool
    fingerprint: str

    @property
    def data_is_unchanged(self) -> bool:
        """Whether the examples are those that the run recorded, if it recorded any."""
        recorded = self.config.recorded
        return recorded is None or self.fingerprint == recorded.data

    def notes(self) -> list[str]:
        """Return what one should know before trusting figures of this run."""
        notes = unfinished_notes(self.summary)
        if self.has_own_data and not self.data_is_unchanged:
            notes.append(
                "the data has changed since the run; examples shown may have been trained on"
            )
        return notes

    def split(self, name: str) -> Split:
        """Return the examples of a split.

        Raises
        ------
        DataError
            If there are none, or their images are of another size than the model expects.
        """
        split = self.dataset.split(name)
        if split is None:
            raise DataError(f"data.{name}: the config asks for no {name} examples")
        self.model.check(split.source)
        return split

    def verify(self) -> dict[str, bool]:
        """Return whether the model file and the data are as the run left them.

        Raises
        ------
        ModelFileError
            If the run has not finished, so that nothing is recorded to compare with.
        """
        if self.summary is None or self.config.recorded is None:
            raise ModelFileError(
                f"{self.path}: the run has not finished; there is nothing to compare it with"
            )
        return {
            "model": model_digest(self.path) == self.summary.model_sha256,
            "data": self.data_is_unchanged,
        }


def open_run(
    path: str,
    overrides: Sequence[str] = (),
    tell: Callable[[int, int], None] | None = None,
) -> OpenedRun:
    """Open a run with its data.

    Parameters
    ----------
    path
        The run directory.
    overrides
        Texts ``data.key=FILE`` that name other data.
    tell
        As for `survey`.

    Raises
    ------
    ConfigError
        If an override changes anything but files of data, or the config is broken.
    ModelFileError
        If this is not a run, it has not begun, or a file of it is broken.
    DataError
        If the data cannot be read or does not fit the model.
    """
    config, model = load_run(path, tuple(overrides))
    _check_overrides(overrides, config)
    folder = pathlib.Path(path)
    dataset = load_dataset(config.data, model.class_names)
    model.check(dataset.train.source)
    standardization = model.standardization_for(dataset.image)
    found = survey(dataset, standardization, model.weights.dtype, tell=tell)
    return OpenedRun(
        folder,
        config,
        model,
        load_summary(folder),
        dataset,
        has_own_data=not overrides,
        fingerprint=found.fingerprint,
    )


def unfinished_notes(summary: Summary | None) -> list[str]:
    """Return a note if a run was interrupted, diverged, or is still being trained."""
    return ["the run has not finished"] if summary is None else []


def _check_overrides(overrides: Sequence[str], config: Config) -> None:
    """Refuse overrides without effect, and those that change which examples are held out."""
    data = config.data
    keys = [f"data.{key}" for key in data.file_keys() if key not in data.row_keys]
    if isinstance(data, NpyData):
        keys.append("data.memory")  # which changes no example
    no_files = [f"data.{k}" for k in data.part_keys if not isinstance(getattr(data, k), str)]
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key not in keys or key in no_files:
            raise ConfigError(
                f"--set {override}: only files of other data can be set for a trained model: "
                f"{', '.join(keys)}"
            )
