"""The processes that train together. A single process is rank 0 of 1, through the same code."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", bound=np.generic)


class Communicator(Protocol):
    """What processes ask of each other."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0. Rank 0 writes files and speaks for all."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    def sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the sum of an array over all processes; it may be in the memory of ``array``."""
        ...


class Serial:
    """The communicator of a process that is alone."""

    rank = 0
    size = 1

    def sum(self, array: NDArray[Number]) -> NDArray[Number]:
        """Return the array itself."""
        return array
