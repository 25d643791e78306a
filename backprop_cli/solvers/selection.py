"""Which epoch's weights become the model, and when to stop early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backprop_cli.losses import Array


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
        best: the epoch with the best validation figure, of equal ones the first; last.
    patience
        Stop after so many epochs without a better figure; None: never.

    Attributes
    ----------
    kept
        The weights that are the model so far; None before the first epoch has ended.
    best_epoch, best_figure
        The best epoch so far, from 1, and its validation figure.
    stopped
        Whether the model is out of training: it stopped early, or diverged.
    """

    def __init__(self, keep: str, patience: int | None) -> None:
        self._keep, self._patience = keep, patience
        self.kept: Kept | None = None
        self.best_epoch, self.best_figure = 0, -np.inf
        self.stopped = False

    def update(self, epoch: int, figure: float | None, W: Array, b: Array) -> None:
        """Take note of an epoch's end.

        Parameters
        ----------
        epoch
            From 1.
        figure
            What validation says, larger is better; None without validation.
        W, b
            The weights now; copied if they are kept.
        """
        better = figure is None or figure > self.best_figure or self.best_epoch == 0
        if better:
            self.best_epoch = epoch
            self.best_figure = -np.inf if figure is None else figure
        if better or self._keep == "last":
            self.kept = Kept(epoch, W.copy(), b.copy())
        if self._patience is not None and epoch - self.best_epoch >= self._patience:
            self.stopped = True
