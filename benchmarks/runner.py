"""One contender on one set, in a process of its own: ``python -m benchmarks.runner JOB``.

JOB is a `Job` as JSON; the answer on stdout is a `Result` as JSON.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from backprop_cli import Fitted
from benchmarks import ours
from benchmarks.datasets import Split, read
from benchmarks.machine import sgemm_rate
from benchmarks.objective import cost, standardized
from benchmarks.peers import scikit_learn_pipeline
from benchmarks.trajectories import Curve, follow

LBFGS, DESCENT = "backprop, lbfgs", "backprop, mini-batch descent"
TOLERANCES = (3e-1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
EPOCHS = (1, 2, 4, 8, 16, 30, 60, 120)

PIPELINE, _FEW = "scikit-learn, StandardScaler and lbfgs", 10  # iterations

_MAX_ROUNDS, _ENOUGH = 5, 10.0  # seconds after which there is no further round
_SHORT = 1.0  # a job that takes less is run once before


@dataclass(frozen=True)
class Job:
    """What to run.

    ``stop`` is the cost to reach, ``limit`` the seconds to try. ``settings`` are the tolerances of
    our lbfgs, the epochs of our descent. Without ``judged``, nothing is evaluated afterwards: the
    process has the memory of the fit alone.
    """

    contender: str
    folder: str
    l2: tuple[float, ...]
    stop: float = 0.0
    limit: float = 300.0
    dtype: str = "float32"
    settings: tuple[float, ...] = TOLERANCES
    judged: bool = True


@dataclass(frozen=True)
class Result:
    """Seconds and costs on the way, in each round, and the last model's cost in float64."""

    rounds: list[list[tuple[float, float]]] = field(default_factory=list)
    cost: float = float("nan")
    sgemm: float = 0.0

    def seconds_to(self, target: float) -> float | None:
        """Return the median of the seconds after which the cost was at most ``target``."""
        found = [
            min((seconds for seconds, cost in points if cost <= target), default=None)
            for points in self.rounds
        ]
        reached = [seconds for seconds in found if seconds is not None]
        return statistics.median(reached) if len(reached) == len(found) and found else None


def solve(job: Job) -> Result:
    """Run a job in this process."""
    split, sgemm = read(pathlib.Path(job.folder)), sgemm_rate(3)
    if job.contender == PIPELINE:  # for its memory alone
        scikit_learn_pipeline(split.x_train, split.y_train, job.l2[0], _FEW)
        return Result()
    if job.contender in (LBFGS, DESCENT):
        split = split if job.judged else split._replace(x_test=None)  # nor has a peer
        rounds = _rounds(lambda: _own(job, split))
        return Result(rounds, rounds[-1][-1][1], sgemm)
    x, y = standardized(split.x_train, job.dtype), split.y_train
    split = split._replace(x_train=None, x_test=None)  # a peer has its own copy alone
    last: list[Curve] = []

    def run() -> list[tuple[float, float]]:
        last[:] = [follow(job.contender, x, y, job.l2[0], job.stop, job.limit)]
        return last[0].points

    rounds = _rounds(run)
    if not job.judged:
        return Result(rounds, sgemm=sgemm)
    raw, fit = read(pathlib.Path(job.folder)).x_train, last[0].fit
    judged = cost(fit.W, fit.b, raw, y, job.l2[0])
    # What a solver says in float32 is off by as much as the gap that is looked for.
    off = judged / rounds[-1][-1][1]
    corrected = [[(seconds, off * told) for seconds, told in points] for points in rounds]
    return Result(corrected, judged, sgemm)


def _rounds(run: Callable[[], Sequence[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    start = time.perf_counter()
    rounds = [list(run())]
    if time.perf_counter() - start < _SHORT:
        rounds = []  # that one warmed up
    while not rounds or (len(rounds) < _MAX_ROUNDS and time.perf_counter() - start < _ENOUGH):
        rounds.append(list(run()))
    return rounds


def _own(job: Job, split: Split) -> list[tuple[float, float]]:
    points = []
    for setting in job.settings:
        if job.contender == LBFGS:
            fitted, seconds = ours.lbfgs(split, job.l2, setting)
        else:
            fitted, seconds = ours.descent(split, job.l2[0], int(setting))
        points.append((seconds, _judge(job, split, fitted[0])))
    return points


def _judge(job: Job, split: Split, fitted: Fitted) -> float:
    if not job.judged:
        return float("nan")
    model = fitted.model
    W, b = (np.asarray(part, np.float64) for part in (model.weights, model.bias))
    return cost(W, b, split.x_train, split.y_train, job.l2[0])


def main() -> None:
    job = Job(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(solve(job))), flush=True)


if __name__ == "__main__":
    main()
