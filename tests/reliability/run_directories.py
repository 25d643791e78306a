"""Runs of many kinds, finished and interrupted, and the commands that read them."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.reliability.attempts import attempt
from tests.reliability.fuzz import Files, remove

_DATA = "data: {format: synthetic, examples: 60, size: 4, classes: 3, validation: 10, test: 10}\n"
_NPY = (
    "data: {format: npy, path: '%s/x.npy', labels: '%s/y.csv', labels_column: kind, "
    "validation: 40, test: 30, %s}\n"
)
_TAIL = "compute: {backend: numpy, threads: 1}\noutput: run\n"
_SGD = _DATA + "training: {epochs: 3, momentum: 0.9, keep: best}\n" + _TAIL
_STOPPED = _DATA + "training: {epochs: 3, select_by: macro_f1, keep: last}\nl2: 0.1\n" + _TAIL
_LBFGS = _DATA + "training: {solver: lbfgs}\nl2: 0.01\n" + _TAIL
_NAMED = _NPY + (
    "loss: multiclass_svm\nmodel: {dtype: float64}\nl2: 0.1\n"
    "training: {epochs: 3, batch_size: 50, class_weights: balanced}\n"
) + _TAIL  # fmt: skip
_GRID = ("--grid", "l2=0.1,0.01", "--grid", "training.seed=1,2", "--set", "training.epochs=2")
_PATH = ("--grid", "l2=0.1,0.01,0.001")
_IN = ("predict", "run", "--input", "in.npy")
_READS = (
    ("eval", "run"), ("eval", "run", "--json"), ("eval", "run", "--verify"),
    ("eval", "run", "--split", "train", "--output", "s.csv"),
    ("eval", "run", "--output", "s.npz"), _IN, (*_IN, "--json"), (*_IN, "--top", "2"),
    (*_IN, "--output", "p.csv"), ("report", "run", "--text"),
    ("report", "run", "--text", "--templates"), ("report", "run", "run", "--text"),
    ("calibrate", "run"), ("export", "run", "--to", "numpy"), ("export", "run", "--to", "torch"),
    ("export", "run", "--to", "onnx"), ("export", "run", "--to", "sklearn"),
    ("explain", "run"), ("explain", "run", "--json"), ("explain", "run", "--examples", "3"),
    ("explain", "run", "--step", "2"), ("explain", "run", "--html", "e.html"),
    ("gradcheck", "run", "--samples", "20"),
    ("train", "--config", "run/config.yaml", "--output", "new", "--dry-run"),
    ("train", "--config", "run/config.yaml", "--output", "new"),
    ("lr-range", "--config", "run/config.yaml", "--steps", "10"),
    ("gradcheck", "--config", "run/config.yaml", "--samples", "20"),
)  # fmt: skip
_PAGES = (("report", "run"), ("report", "run", "run", "--output", "page.html"))
_RESUME = (("train", "--resume", "--output", "run"),) * 4 + (
    ("eval", "run"), ("report", "run", "--text"), ("explain", "run"),
)  # fmt: skip
_RESUME_SWEEP = ("sweep", "--config", "c.yaml", "--output", "run", "--resume")


@dataclass(frozen=True)
class Case:
    """The files of a run, the commands that read them, and how often it is taken."""

    files: Files
    commands: tuple[tuple[str, ...], ...]
    share: float


def cases(folder: pathlib.Path) -> dict[str, Case]:
    """Make runs in a folder, where their data stays."""
    data = _write_data(folder)
    named, streamed = (_NAMED % (folder, folder, more) for more in ("memory: auto", "memory: 9 kB"))
    train, sweep = ("train",), ("sweep",)
    calibrate = ("calibrate", "run")
    probe = ("probe", f"{folder}/x.npy", f"{folder}/labels.npy", "--output", "run")
    finished = {
        **made(folder, train, _SGD, then=calibrate),
        "in.npy": (folder / "in.npy").read_bytes(),
    }
    swept = made(folder, (*sweep, *_GRID), _SGD)
    return {
        "run": Case(finished, _READS, 6),
        "named": Case({**made(folder, train, named, then=calibrate), **data}, _READS, 4),
        "probe": Case({**made(folder, probe, None), **data}, _READS, 2),
        "run, pages": Case(finished, _PAGES, 0.1),
        "sweep": Case(swept, (("report", "run", "--text"), ("eval", "run")), 1),
        "sweep, page": Case(swept, (("report", "run"),), 0.05),
        "descent": Case(made(folder, train, _SGD, epochs=1), _RESUME, 4),
        "descent, measure": Case(made(folder, train, _STOPPED, epochs=2), _RESUME, 3),
        "descent, in an epoch": Case(made(folder, train, named, steps=7), _RESUME, 3),
        "descent, streamed": Case(made(folder, train, streamed, steps=7), _RESUME, 3),
        "L-BFGS": Case(made(folder, train, _LBFGS, epochs=4), _RESUME, 4),
        "sweep, descent": Case(
            made(folder, (*sweep, *_GRID), _SGD, epochs=3), ((*_RESUME_SWEEP, *_GRID),), 4
        ),
        "sweep, L-BFGS": Case(
            made(folder, (*sweep, *_PATH), _LBFGS, epochs=6), ((*_RESUME_SWEEP, *_PATH),), 4
        ),
    }  # fmt: skip


def try_unchanged(case: Case, folder: pathlib.Path) -> None:
    """Run every command on a run as it was written: it works, and libraries are imported once."""
    os.chdir(folder)
    write(case.files, folder / "first")
    os.chdir(folder / "first")
    for command in (*case.commands, *_PAGES):
        ending = attempt(command)
        if ending.status is None:  # the import of matplotlib has taken too long
            ending = attempt(command)
        if ending.status != 0:
            raise RuntimeError(f"{command}, of a run as it was written: {ending}")
    os.chdir(folder)
    remove(folder / "first")


def write(files: Files, folder: pathlib.Path) -> None:
    """Write files into a new folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)


def _write_data(folder: pathlib.Path) -> Files:
    """Write examples of three classes with names, and return some of them as what is predicted."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    features = rng.normal(0, 1, (240, 12)) + np.eye(3, 12)[labels]
    np.save(folder / "x.npy", features.astype(np.float32))
    np.save(folder / "labels.npy", labels)
    names = [("oak", "ash", "elm, wych")[k] for k in labels]
    (folder / "y.csv").write_text("kind\n" + "".join(f'"{name}"\n' for name in names))
    np.save(folder / "in.npy", features[:5])
    content = (folder / "in.npy").read_bytes()
    np.save(folder / "in.npy", rng.uniform(0, 255, (5, 48)))
    return {"in.npy": content}


def made(
    folder: pathlib.Path,
    command: tuple[str, ...],
    text: str | None,
    *,
    epochs: int = 0,
    steps: int = 0,
    then: tuple[str, ...] = (),
) -> Files:
    """Return the files of a run, whole, or interrupted after some epochs or steps."""
    from backprop_cli.cli.progress import ProgressBar

    here = folder / "made"
    here.mkdir()
    os.chdir(here)
    if text is not None:
        (here / "c.yaml").write_text(text)
        command = (*command, "--config", "c.yaml", "--output", "run")
    heard = {"epoch": 0, "steps": 0}
    before = {name: getattr(ProgressBar, name) for name in heard}

    def listening(name: str, most: int) -> Any:
        def hear(self: ProgressBar, *values: Any) -> None:
            before[name](self, *values)
            heard[name] += values[0] if name == "steps" else 1
            if most and heard[name] >= most:
                raise KeyboardInterrupt

        return hear

    ProgressBar.epoch = listening("epoch", epochs)  # type: ignore[method-assign]
    ProgressBar.steps = listening("steps", steps)  # type: ignore[method-assign]
    try:
        found = [attempt(words).status for words in (command, then) if words]
    finally:
        for name, function in before.items():
            setattr(ProgressBar, name, function)
    if found[0] != (130 if epochs or steps else 0) or any(found[1:]):
        raise RuntimeError(f"{command}: exit {found}")
    files = {str(p.relative_to(here)): p.read_bytes() for p in here.rglob("*") if p.is_file()}
    os.chdir(folder)
    remove(here)
    return files
