"""Every random number of a run, each purpose with a stream of its own.

A stream depends on a seed, a purpose and a few counters (an epoch) alone: what one purpose draws
never moves another, and any epoch can be drawn again without the ones before it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are drawn for. The values are part of a run's results: never reuse."""

    INITIAL_WEIGHTS = 0
    ORDER = 1
    FLIPS = 2
    SPLIT = 3
    SYNTHETIC = 4
    COORDINATES = 5
    SETTINGS = 6
    POINT = 7
    SECOND_MOMENT = 8
    BLOCKS = 9
    FILES = 10


def generator(seed: int, stream: Stream, *counters: int) -> np.random.Generator:
    """Return the generator of one purpose."""
    sequence = np.random.SeedSequence(seed, spawn_key=(int(stream), *counters))
    return np.random.Generator(np.random.PCG64(sequence))
