"""The models that are still trained: their state, and what makes their steps."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import ENGINES, DescentState, Engine, FusedEngine, Task
from backprop_cli.objective import Objective
from backprop_cli.settings import Settings
from backprop_cli.solvers.steps import SeparateSteps


class Kit(NamedTuple):
    """What the stacks of a training share.

    Attributes
    ----------
    settings
        Of all models.
    make_task
        Returns what some models ask of an engine.
    engine_name
        Returns the name of the engine. It stays the same when models leave.
    communicator
        The processes that train together.
    """

    settings: Settings
    make_task: Callable[[Settings], Task]
    engine_name: Callable[[], str]
    communicator: Communicator


class Stack:
    """Some of the models of a training, which make their steps together.

    Models that have stopped leave it: they have no rows in its products.

    Parameters
    ----------
    models
        Their numbers among all models, ascending.
    state
        Theirs, in this order.
    max_losses
        The largest loss of each to go on with.
    kit
        What all stacks share.
    """

    def __init__(
        self,
        models: Sequence[int],
        state: DescentState,
        max_losses: NDArray[np.float64],
        kit: Kit,
    ) -> None:
        self.models, self.state, self.max_losses, self._kit = [*models], state, max_losses, kit
        self.objective = Objective(state.l2)

    def without(self, models: Collection[int]) -> Stack:
        """Return a stack without some of the models."""
        left = [k for k, m in enumerate(self.models) if m not in models]
        own = [self.models[k] for k in left]
        return Stack(own, self.state.some(left), self.max_losses[left], self._kit)

    @functools.cached_property
    def task(self) -> Task:
        """What they ask of an engine."""
        everyone = self._kit.settings
        own = tuple(everyone.models[m] for m in self.models)
        return self._kit.make_task(dataclasses.replace(everyone, models=own))

    @functools.cached_property
    def engine(self) -> Engine:
        """What computes; made when it is needed."""
        return ENGINES[self._kit.engine_name()].make(self.task)

    @functools.cached_property
    def separate_steps(self) -> SeparateSteps:
        """What makes steps outside the engine."""
        return SeparateSteps(self.engine, self.objective, self._kit.communicator)

    @functools.cached_property
    def steps(self) -> Callable[..., tuple[int, NDArray[np.float64]]]:
        """What makes the steps: the engine's own, or one after the other."""
        if isinstance(self.engine, FusedEngine) and self._kit.communicator.size == 1:
            return self.engine.steps
        return self.separate_steps.steps
