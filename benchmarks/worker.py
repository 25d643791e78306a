"""A contender in a process of its own: ``python -m benchmarks.worker NAME WORKLOAD``.

Prints ``ready``, then for each line on stdin: a number, the seconds of an epoch; or ``done``, for
a path to which the weights are to be written.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from benchmarks.contenders import CONTENDERS
from benchmarks.workload import Workload


def main() -> None:
    contender = CONTENDERS[sys.argv[1]](Workload(**json.loads(sys.argv[2])))
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        if line.strip() == "epoch":
            print(contender.epoch(number), flush=True)
        else:
            weights = contender.weights()
            np.save(line.strip(), np.zeros(0) if weights is None else weights)
            print("done", flush=True)


if __name__ == "__main__":
    main()
