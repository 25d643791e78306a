"""What a finished run says."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import Any

from backprop_cli.communicator import Communicator
from backprop_cli.evaluation.metrics import Evaluation, evaluate_model
from backprop_cli.model import LinearModel
from backprop_cli.runs.convergence import Ending
from backprop_cli.runs.run_directory import model_digest
from backprop_cli.sources import Dataset


@dataclass(frozen=True)
class Result:
    """The figures of a finished run.

    Attributes
    ----------
    path
        The run directory.
    ending
        How the training ended.
    validation, test
        None where there are no such examples.
    model_sha256
        Of the model file; empty where another process wrote it.
    """

    path: pathlib.Path
    ending: Ending
    validation: Evaluation | None
    test: Evaluation | None
    model_sha256: str

    @classmethod
    def of(
        cls,
        path: pathlib.Path,
        model: LinearModel,
        dataset: Dataset,
        ending: Ending,
        communicator: Communicator,
    ) -> Result:
        """Evaluate the model of a run directory, whose files rank 0 has written."""
        validation, test = (
            None if split is None else evaluate_model(model, split, communicator)
            for split in (dataset.validation, dataset.test)
        )
        digest = model_digest(path) if communicator.rank == 0 else ""
        return cls(path, ending, validation, test, digest)

    def to_mapping(self) -> dict[str, Any]:
        """Return the summary as plain Python objects."""
        return {
            "run": str(self.path),
            **self.ending.to_mapping(),
            "validation": None if self.validation is None else self.validation.figures(),
            "test": None if self.test is None else self.test.figures(),
            "model_sha256": self.model_sha256,
        }
