"""The names that a config may use because a part of the program registers them.

They are asked for when a config is checked, so that a loss or an engine that is registered later
is accepted too, and so that importing the schema does not import NumPy.
"""

from __future__ import annotations


def loss_names() -> tuple[str, ...]:
    """Return the names of the losses."""
    from backprop_cli.losses import LOSSES

    return tuple(LOSSES)


def soft_target_losses() -> tuple[str, ...]:
    """Return the names of the losses whose targets may be any probabilities, not only one-hot."""
    from backprop_cli.losses import LOSSES

    return tuple(name for name, loss in LOSSES.items() if loss.takes_soft_targets)


def selectable_names() -> tuple[str, ...]:
    """Return the names of the figures that the best epoch may be chosen by."""
    from backprop_cli.evaluation.measures import SELECTABLE

    return SELECTABLE


def engine_names() -> tuple[str, ...]:
    """Return the names of the engines."""
    from backprop_cli.engine import ENGINES

    return tuple(ENGINES)
