"""The progress bar of a training run."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from backprop_cli.cli.interrupts import Interrupts
from backprop_cli.solvers.observer import EpochRecord, Observer

if TYPE_CHECKING:
    from backprop_cli.reporting.tensorboard import TensorBoardLog


class ProgressBar(Observer):
    """Shows epoch, loss and learning rate on stderr if that is a terminal.

    Raises KeyboardInterrupt between two steps if there was an interrupt.
    """

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._bar: tqdm[Any] | None = None
        self._log: TensorBoardLog | None = None
        self._log_folder: pathlib.Path | None = None
        self._of = ""

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._log is not None:
            self._log.close()

    def log_to(self, run: str) -> None:
        """Log every epoch for TensorBoard, in the folder of a run."""
        self._log_folder = pathlib.Path(run) / "tensorboard"

    def begin(self, n_epochs: int | None, steps_per_epoch: int, steps_made: int) -> None:
        """Open the bar."""
        self._of = "" if n_epochs is None else f"/{n_epochs}"
        if self._log_folder is not None:  # not earlier: only now is it certain that the run begins
            from backprop_cli.reporting.tensorboard import TensorBoardLog

            self._log = TensorBoardLog(self._log_folder)
        if self._bar is not None:  # of another training of the same command
            self._bar.close()
        if sys.stderr is not None and sys.stderr.isatty():
            total = None if n_epochs is None else n_epochs * steps_per_epoch
            now = steps_made // steps_per_epoch + (n_epochs is None or steps_made != total)
            epoch = f"epoch {now}{self._of}"
            self._bar = tqdm(
                total=total, unit="step", desc=epoch, smoothing=0.1, initial=steps_made
            )

    def compiling(self) -> None:
        """Say why the bar does not move yet."""
        click.echo("Compiling kernels for this machine, once; this takes some seconds.", err=True)

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        """Advance the bar."""
        self._interrupts.check()
        bar = self._bar
        if bar is not None and bar.update(number):
            bar.set_postfix(loss=f"{loss:.3f}", rate=f"{learning_rate:.2g}", refresh=False)

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        """Show the figures of an epoch."""
        going = [record for record in records if record is not None]
        if not going:
            return
        record = going[0]
        if self._log is not None:
            self._log.epoch(record.to_mapping())
        if self._bar is None:
            return
        text = f"epoch {record.epoch}{self._of}"
        if record.validation_accuracy is not None:
            text += f" validation {100 * record.validation_accuracy:.2f} %"
        self._bar.set_postfix(
            loss=f"{record.train_loss:.3f}", rate=f"{record.learning_rate:.2g}", refresh=False
        )
        self._bar.set_description(text)
