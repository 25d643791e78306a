"""Which epoch's weights become the model, and when to stop early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backprop_cli.losses import Array
from backprop_cli.solvers.observer import Standing


@dataclass(frozen=True)
class Kept:
    """The weights of one epoch; replaced whole, so that an interrupt never sees half of them."""

    epoch: int  # from 1
    W: Array
    b: Array


class Selection:
    """Follows one model through its epochs.

    Parameters
    ----------
    keep
        best: the epoch with the best validation figure, of equal ones that with the lowest
        validation loss, of equal ones again the first; the latest epoch before there is a figure.
        last: the latest epoch.
    patience
        Stop after so many epochs without a better one in this sense; None: never.

    Attributes
    ----------
    kept
        The weights that are the model so far; None before the first epoch has ended.
    best_epoch, best
        The best epoch so far, from 1, and its standing; None without validation.
    stopped
        Whether the model is out of training: it stopped early, or diverged.
    """

    def __init__(self, keep: str, patience: int | None) -> None:
        self._keep, self._patience = keep, patience
        self.kept: Kept | None = None
        self.best_epoch = 0
        self.best: Standing | None = None
        self.stopped = False

    def update(
        self, epoch: int, standing: Standing | None, W: Array, b: Array, *, evaluated: bool = True
    ) -> None:
        """Take note of an epoch's end.

        Parameters
        ----------
        epoch
            From 1.
        standing
            What validation says, larger is better; None without validation.
        W, b
            The weights now; copied if they are kept.
        evaluated
            Whether the epoch was evaluated. One that was not is never better than another.
        """
        better = evaluated and (standing is None or self.best is None or standing > self.best)
        if better:
            self.best_epoch, self.best = epoch, standing
        if better or self.best is None or self._keep == "last":
            self.kept = Kept(epoch, W.copy(), b.copy())
        waited = epoch - self.best_epoch
        if evaluated and self._patience is not None and waited >= self._patience:
            self.stopped = True

    def state(self) -> dict[str, Any]:
        """Return all but the weights as plain Python objects."""
        return {
            "kept_epoch": self.kept.epoch if self.kept else None,
            "best_epoch": self.best_epoch,
            "best": self.best,
            "stopped": self.stopped,
        }

    def restore(self, state: Mapping[str, Any], W: Array, b: Array) -> None:
        """Go to what `state` returned; W and b are the place of the weights that were kept."""
        kept, best = state["kept_epoch"], state["best"]
        self.kept = None if kept is None else Kept(kept, W, b)
        self.best = None if best is None else (float(best[0]), float(best[1]))
        self.best_epoch, self.stopped = state["best_epoch"], state["stopped"]
