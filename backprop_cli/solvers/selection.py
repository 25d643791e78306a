"""Which epoch's weights become the model, and when to stop early."""

from __future__ import annotations

from dataclasses import dataclass

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
        validation loss, of equal ones again the first; last.
    patience
        Stop after so many epochs that are not better in this sense; None: never.

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

    def update(self, epoch: int, standing: Standing | None, W: Array, b: Array) -> None:
        """Take note of an epoch's end.

        Parameters
        ----------
        epoch
            From 1.
        standing
            What validation says, larger is better; None without validation.
        W, b
            The weights now; copied if they are kept.
        """
        better = standing is None or self.best is None or standing > self.best
        if better:
            self.best_epoch, self.best = epoch, standing
        if better or self._keep == "last":
            self.kept = Kept(epoch, W.copy(), b.copy())
        if self._patience is not None and epoch - self.best_epoch >= self._patience:
            self.stopped = True
