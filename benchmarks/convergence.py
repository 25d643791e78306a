"""Tables of convergence: ``python -m benchmarks.convergence SETS_DIR OPTIMA_DIR``.

On stdout, as Markdown. SETS_DIR is that of benchmarks.datasets, OPTIMA_DIR that of
benchmarks.optima. With ``--record FILE``, what the race has found is added to a file of JSON lines,
for benchmarks.curves.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import ours
from benchmarks.datasets import read
from benchmarks.machine import sgemm_rate, wait_for_calm
from benchmarks.objective import cost
from benchmarks.processes import run
from benchmarks.runner import DESCENT, EPOCHS, LBFGS, PIPELINE, Job, Result

TOLERANCE = 1e-6
GAPS = (1e-3, 1e-6)
_AIM = 0.5  # of the last gap: float32 misjudges the cost, and a peer must not miss it
_ALL = ("scikit-learn lbfgs", "scikit-learn-intelex", "Cyanure")
_SMALL = (*_ALL, "scikit-learn newton-cholesky")
_RACES = {
    "satellite": (0.001,), "letter": (0.001,), "dna": (0.001,), "synthetic_100": (0.001,),
    "fashion_mnist": (0.001,), "cifar10": (0.01, 0.001),
}  # fmt: skip
_WITH_CHOLESKY = ("satellite", "letter", "dna")  # few weights: its Hessian has their square
_PATHS = {"satellite": 16, "letter": 16, "dna": 16, "digits": 16, "cifar10": 16}
_ROUNDS, _ENOUGH = 5, 20.0  # of our own fits of a path, and seconds
_FITTED_BY_PEER = 4  # values of a path
_MEMORY = "cifar10"
_MEMORY_LIMIT = 15.0  # seconds: a fit's memory is at its peak by then


@dataclass(frozen=True)
class Options:
    """Where things are, and which sets are asked for."""

    sets: pathlib.Path
    optima: pathlib.Path
    only: Sequence[str]
    record: pathlib.Path | None
    limit: float
    sgemm: float

    def optima_of(self, *, two_scores: bool = True) -> list[dict[str, Any]]:
        """Return the records of the sets' optima, smallest first."""
        found = [json.loads(path.read_text()) for path in sorted(self.optima.glob("*.json"))]
        if two_scores:  # the others are those of a single score
            found = [each for each in found if each["n_classes"] > 2 or each["l2"] == 0.001]
        found = [each for each in found if each["set"] in self.only]
        return sorted(found, key=lambda each: each["n"] * each["d"] * each["n_classes"])

    def optimum(self, name: str, l2: float) -> float:
        """Return J*."""
        path = self.optima / f"{name}-{l2:g}.json"
        return float(json.loads(path.read_text())["cost"])


def truth(options: Options) -> None:
    """Compare the certificate of our lbfgs with the distance to an independent optimum."""
    _head(["set", "l2", "(J - J*) / J*", "certificate", "times the distance", "steps", "seconds"])
    for best in options.optima_of():
        split = read(options.sets / best["set"])
        fitted, seconds = ours.lbfgs(split, [best["l2"]], TOLERANCE)
        model, found = fitted[0].model, fitted[0].optimality
        W, b = (np.asarray(part, np.float64) for part in (model.weights, model.bias))
        J, least = cost(W, b, split.x_train, split.y_train, best["l2"]), best["cost"]
        assert found is not None
        assert found.gap is not None
        distance = (J - least) / least
        # J* itself is known to a bound only
        unsure = best["bound"] / least
        told = f"{distance:.1e}" + (f" (+ {unsure:.0e})" if unsure > 0.01 * distance else "")
        times = f"{found.gap / (J - least):.2f}"
        _row([best["set"], f"{best['l2']:g}", told, f"{found.gap / least:.1e}", times,
              len(fitted[0].history), f"{seconds:.2f}"])  # fmt: skip


def defaults(options: Options) -> None:
    """Compare what ``train`` with nothing but data and l2 makes with the optimum."""
    _head(["set", "excess cost", "certificate", "accuracy", "with validation", "at the optimum",
           "said with validation"])  # fmt: skip
    for best in options.optima_of():
        if best["l2"] != 0.001:
            continue
        folder = options.sets / best["set"]
        whole, usual = (_train(folder, part) for part in (0, None))
        excess = whole["train"]["cost"] / best["cost"] - 1
        said = "; ".join(line.split(";")[0] for line in usual["remarks"])
        _row([best["set"], f"{100 * excess:.2f} %", f"{100 * whole['train']['relative_gap']:.2f} %",
              *(f"{100 * made['test']['accuracy']:.2f}" for made in (whole, usual)),
              f"{100 * best['test_accuracy']:.2f}", said])  # fmt: skip


def race(options: Options) -> None:
    """Race to the gaps; each contender in a process of its own, one after the other."""
    _head(["set", "l2", "contender", *(f"s to {gap:g}" for gap in GAPS), "times ours",
           "left at the end", "sgemm, GFLOP/s"])  # fmt: skip
    for name, values in _RACES.items():
        for l2 in values if name in options.only else ():
            first: list[float | None] = []
            for contender in (LBFGS, *(_SMALL if name in _WITH_CHOLESKY else _ALL)):
                first = _race_row(options, contender, name, l2, first)


def _race_row(
    options: Options, contender: str, name: str, l2: float, first: list[float | None]
) -> list[float | None]:
    best = options.optimum(name, l2)
    job = Job(
        contender, str(options.sets / name), (l2,), best * (1 + _AIM * GAPS[-1]), options.limit,
        settings=GAPS,
    )  # fmt: skip
    found = _apart(job, options)
    if contender != LBFGS and _fell_short(found, best, options.limit):
        found = _apart(Job(**{**asdict(job), "dtype": "float64"}), options)
    if contender == LBFGS:  # its tolerance is the gap
        seconds: list[float | None] = [
            float(np.median([points[k][0] for points in found.rounds])) for k in range(len(GAPS))
        ]
    else:
        seconds = [found.seconds_to(best * (1 + gap)) for gap in GAPS]
    first = first or seconds
    ratios = [f"{a / b:.1f}" if a and b else "-" for a, b in zip(seconds, first, strict=True)]
    told = [f"{s:.3g}" if s else _missed(found, options.limit) for s in seconds]
    _row([name, f"{l2:g}", contender, *told, ", ".join(ratios), f"{found.cost / best - 1:.1e}",
          f"{found.sgemm / 1e9:.0f}"])  # fmt: skip
    _note(options, {"set": name, "l2": l2, "contender": contender, "best": best, **asdict(found)})
    return first


def _fell_short(found: Result, best: float, limit: float) -> bool:
    """Say whether a fit in float32, which is faster, ended before it was near enough."""
    return found.cost > best * (1 + GAPS[-1]) and found.rounds[-1][-1][0] < limit


def _missed(found: Result, limit: float) -> str:
    ended = found.rounds[-1][-1][0] if found.rounds and found.rounds[-1] else limit
    return f"> {limit:.0f}" if ended > limit / 5 else f"never (ended after {ended:.2g})"


def memory(options: Options) -> None:
    """Measure the peak memory of each process that only loads and fits."""
    _head(["set", "contender", "peak memory, MB", "times ours"])
    first = 0.0
    for contender in (LBFGS, DESCENT, *_ALL, PIPELINE) if _MEMORY in options.only else ():
        job = Job(
            contender, str(options.sets / _MEMORY), (0.01,), 0.0, _MEMORY_LIMIT,
            settings=(2,) if contender == DESCENT else (GAPS[0],), judged=False,
        )  # fmt: skip
        megabytes = run(_command(job)).megabytes
        first = first or megabytes
        _row([_MEMORY, contender, f"{megabytes:.0f}", f"{megabytes / first:.1f}"])


def paths(options: Options) -> None:
    """Compare a path over l2 with one value, and with a peer's fits to the same costs."""
    _head(["set", "values", "one, mean, s", "the middle one, s", "path, s", "path / mean",
           "path / middle", "scikit-learn, s", "peer / path"])  # fmt: skip
    for name, number in _PATHS.items():
        if name not in options.only:
            continue
        values = np.logspace(-5, -1, number).tolist()
        split = read(options.sets / name)
        wait_for_calm(options.sgemm)
        ours.lbfgs(split, [values[-1]], 0.1)  # warms up
        rounds: list[list[float]] = []
        while not rounds or (len(rounds) < _ROUNDS and sum(map(sum, rounds)) < _ENOUGH):
            alone = [ours.lbfgs(split, [value], TOLERANCE)[1] for value in values]
            fitted, seconds = ours.lbfgs(split, values, TOLERANCE)
            rounds.append([float(np.mean(alone)), alone[number // 2], seconds])
        one, middle, path = np.median(rounds, axis=0)
        some = np.linspace(0, number - 1, _FITTED_BY_PEER).round().astype(int)
        theirs = []
        for k in some:
            found = fitted[k].optimality
            assert found is not None
            job = Job("scikit-learn lbfgs", str(options.sets / name), (values[k],), found.cost,
                      options.limit / 5, judged=False)  # fmt: skip
            theirs.append(_apart(job, options).rounds[-1][-1][0])
        peer = np.mean(theirs) * number
        over = "> " if max(theirs) >= options.limit / 5 else ""
        _row([name, number, f"{one:.3g}", f"{middle:.3g}", f"{path:.3g}", f"{path / one:.1f}",
              f"{path / middle:.1f}", f"{over}{peer:.3g}", f"{over}{peer / path:.1f}"])  # fmt: skip


def curves(options: Options) -> None:
    """Record gaps against seconds of our solvers, at more settings, for the picture."""
    for name, l2 in (("fashion_mnist", 0.001), ("cifar10", 0.01)):
        for contender in (LBFGS, DESCENT) if name in options.only else ():
            job = Job(contender, str(options.sets / name), (l2,))
            if contender == DESCENT:
                job = Job(contender, job.folder, job.l2, settings=EPOCHS)
            found = _apart(job, options)
            best = options.optimum(name, l2)
            record = {"set": name, "l2": l2, "contender": contender, "best": best}
            _note(options, record | asdict(found) | {"curve": True})
            print(f"{name}, {contender}: {len(found.rounds[-1])} points", flush=True)


def _apart(job: Job, options: Options) -> Result:
    """Run a job in a process of its own, when the machine is calm."""
    wait_for_calm(options.sgemm)
    answer = json.loads(run(_command(job)).output.splitlines()[-1])
    return Result(**answer)


def _command(job: Job) -> list[str]:
    return [sys.executable, "-m", "benchmarks.runner", json.dumps(asdict(job))]


def _train(folder: pathlib.Path, validation: float | None) -> dict[str, Any]:
    """Return what ``backprop train --json`` prints, with every default but these."""
    with tempfile.TemporaryDirectory() as place:
        data: dict[str, Any] = {
            "format": "npy", "path": str(folder / "x_train.npy"),
            "labels": str(folder / "y_train.npy"), "test": str(folder / "x_test.npy"),
            "test_labels": str(folder / "y_test.npy"),
        }  # fmt: skip
        if validation is not None:
            data["validation"] = validation
        config = pathlib.Path(place) / "config.yaml"
        config.write_text(json.dumps({"data": data, "l2": 0.001, "output": f"{place}/run"}))
        command = [sys.executable, "-m", "backprop_cli", "train", "--config", str(config), "--json"]
        return dict(json.loads(run(command).output))


def _head(names: Sequence[str]) -> None:
    print("| " + " | ".join(names) + " |\n" + "|" + "---|" * len(names), flush=True)


def _row(cells: Sequence[Any]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def _note(options: Options, record: dict[str, Any]) -> None:
    if options.record is not None:
        with options.record.open("a") as file:
            file.write(json.dumps(record) + "\n")


_TABLES = {
    "truth": truth, "defaults": defaults, "race": race, "memory": memory, "paths": paths,
    "curves": curves,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convergence")
    parser.add_argument("sets", type=pathlib.Path, help="the folder of benchmarks.datasets")
    parser.add_argument("optima", type=pathlib.Path, help="the folder of benchmarks.optima")
    parser.add_argument("--tables", nargs="*", default=list(_TABLES), choices=list(_TABLES))
    parser.add_argument("--only", nargs="*", help="sets; by default all that have an optimum")
    parser.add_argument("--record", type=pathlib.Path, help="gets what the race has found")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds per run of a peer")
    given = parser.parse_args(arguments)
    only = given.only or sorted({path.stem.rsplit("-", 1)[0] for path in given.optima.iterdir()})
    sgemm = sgemm_rate(40)
    options = Options(given.sets, given.optima, only, given.record, given.limit, sgemm)
    for table in given.tables:
        print(f"\n## {table}\n\nsgemm {sgemm_rate() / 1e9:.0f} GFLOP/s", end="")
        print(f" (best {sgemm / 1e9:.0f}), load {os.getloadavg()[0]:.1f}\n")
        _TABLES[table](options)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(pathlib.Path(__file__).parent.parent))
    main()
