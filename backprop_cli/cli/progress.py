"""The progress bar of a training run."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from backprop_cli.cli.messages import columns
from backprop_cli.cli.output import show
from backprop_cli.cli.processes import processes
from backprop_cli.cli.signals import Stops
from backprop_cli.solvers.observer import EpochRecord, Observer

if TYPE_CHECKING:
    from tqdm import tqdm

    from backprop_cli.reporting.tensorboard import TensorBoardLog


_BAR = "{desc} {percentage:3.0f} % |{bar}| {remaining} left{postfix}"
_OPEN_END = "{desc}, {elapsed}{postfix}"  # how long it takes is not known
_WORTH_A_BAR = 1.0  # seconds
_ROOM_FOR_ACCURACY, _ROOM_FOR_RATE = 80, 110  # columns


@contextlib.contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how much of the data was read, if that is a terminal and takes a while.

    What is yielded is to be called with what was read so far, of how much. It raises what
    `Processes.listen` raises.
    """
    bar: tqdm[Any] | None = None

    def tell(read: int, of: int) -> None:
        nonlocal bar
        processes.listen()
        if bar is None and _is_terminal():
            from tqdm import tqdm

            bar = tqdm(
                total=of, desc="reading", bar_format=_BAR, leave=False, delay=_WORTH_A_BAR,
                ncols=columns() - 1,
            )  # fmt: skip
        if bar is not None:
            bar.update(read - bar.n)

    try:
        yield tell
    finally:
        if bar is not None:
            bar.close()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class ProgressBar(Observer):
    """Shows epoch, loss and learning rate on stderr if that is a terminal.

    Raises KeyboardInterrupt between two steps if there was an interrupt, and what
    `Processes.listen` raises.
    """

    def __init__(self, stops: Stops) -> None:
        self._stops = stops
        self._bar: tqdm[Any] | None = None
        self._log: TensorBoardLog | None = None
        self._log_folder: pathlib.Path | None = None
        self._of, self._unit, self._rate = "", "epoch", "rate"
        self._width = 80
        self._accuracy: float | None = None

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
        if n_epochs is None:  # L-BFGS: its steps take a pass or several, and have a length
            self._unit, self._rate = "step", "length"
        if self._log_folder is not None:  # not earlier: only now is it certain that the run begins
            from backprop_cli.reporting.tensorboard import TensorBoardLog

            self._log = TensorBoardLog(self._log_folder, steps_made // steps_per_epoch + 1)
        if self._bar is not None:  # of another training of the same command
            self._bar.close()
        if _is_terminal():
            from tqdm import tqdm

            total = None if n_epochs is None else n_epochs * steps_per_epoch
            now = steps_made // steps_per_epoch + (n_epochs is None or steps_made != total)
            self._width = columns()
            self._bar = tqdm(
                total=total, unit="block" if self._unit == "step" else "step",
                desc=f"{self._unit} {now}{self._of}", smoothing=0.1,
                initial=steps_made, ncols=self._width - 1,
                bar_format=_OPEN_END if total is None else _BAR,
            )  # fmt: skip

    def compiling(self) -> None:
        """Say why the bar does not move yet."""
        show("Compiling kernels for this machine, once; this takes some seconds.", err=True)

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        """Advance the bar."""
        self._stops.check()
        processes.listen()
        bar = self._bar
        if bar is not None and bar.update(number):
            self._show(loss, learning_rate)

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
        if record.validation_accuracy is not None:  # of an epoch that was evaluated
            self._accuracy = record.validation_accuracy
        if record.train_loss is not None:
            name = "mean loss" if record.train_figures == "steps" else "training loss"
            self._show(record.train_loss, record.learning_rate, name)
        self._bar.set_description_str(f"{self._unit} {record.epoch}{self._of}")

    def _show(self, loss: float, learning_rate: float, name: str = "loss") -> None:
        """Show the loss and, where there is room, the accuracy and the learning rate.

        "loss" is that of a mini-batch, "mean loss" that of an epoch's steps.
        """
        if self._bar is None:
            return
        text = f"{name} {loss:.3f}"
        if self._accuracy is not None and self._width >= _ROOM_FOR_ACCURACY:
            text += f", validation {100 * self._accuracy:.1f} %"
        if self._width >= _ROOM_FOR_RATE:
            text += f", {self._rate} {learning_rate:.2g}"
        self._bar.set_postfix_str(text, refresh=False)
