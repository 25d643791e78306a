"""Mutated files of every format and mutated configs, through the command line.

``python -m tests.reliability.fuzz --inputs 20000``

Each input must end in 5 seconds, with an exit status of the contract, one line an error on
stderr, and no traceback; a process that tries thousands of them stays below 1 GB.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pathlib
import pickle
import random
import resource
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.reliability.attempts import Task, attempt, campaign

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """Valid files, which of them are mutated, and the command that reads them."""

    files: Files
    mutated: tuple[str, ...]
    command: tuple[str, ...]
    is_text: bool = False


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _idx(shape: tuple[int, ...], content: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def _config(data: str, more: str = "") -> bytes:
    return (
        f"data: {{{data}}}\ntraining: {{epochs: 1, batch_size: 4}}\noutput: run\n{more}"
    ).encode()


_TRAIN = ("train", "--config", "config.yaml")
_DRY = ("train", "--dry-run", "--config", "config.yaml")
FULL_CONFIG = b"""\
# every section
data:
  format: synthetic
  examples: 60
  classes: 3
  size: 4
  channels: 1
  validation: 10
  test: 0.2
  stratified: true
  limit: 30
  standardize: per_channel
  seed: 1
model: {outputs: per_class, dtype: float32, initial_std: 0.01}
loss: softmax_cross_entropy
label_smoothing: 0.1
l2: 0.01
training:
  epochs: 2
  batch_size: 10
  learning_rate: 0.01
  momentum: 0.9
  nesterov: true
  schedule: {kind: cyclical, minimum: 1.0e-5, half_cycle: 4}
  horizontal_flips: true
  class_weights: balanced
  select_by: loss
  keep: best
  early_stopping: {patience: 2}
  seed: 7
compute: {backend: numpy, threads: 1}
output: runs/x
"""


def cases(folder: pathlib.Path) -> dict[str, Case]:
    """Return a case a format; a run is made in ``folder`` for those that read runs."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 3072), dtype=np.uint8)
    labels = [*range(10), 3, 4]
    batch = pickle.dumps({b"data": pixels, b"labels": labels, b"filenames": [b"a.png"] * 12}, 2)
    fine = pickle.dumps({b"data": pixels, b"fine_labels": labels, b"coarse_labels": labels}, 2)
    records = b"".join(bytes([y]) + row.tobytes() for y, row in zip(labels, pixels, strict=True))
    images, digits = _idx((12, 4, 4), pixels[:, :16].tobytes()), _idx((12,), bytes(labels))
    x, y = rng.standard_normal((30, 5)), np.arange(30) % 3
    npz = _saved(lambda stream: np.savez_compressed(stream, x=x, y=y))
    idx_names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    cifar10 = _config("format: cifar10, path: ., train: [data_batch_1], validation: 0, test: 2")
    idx = _config("format: idx, path: ., validation: 2, test: 2")
    run = _run(folder)
    evaluate, resume = ("eval", "run"), ("train", "--resume", "--output", "run")
    return {
        **_predicted(run, rng),
        "cifar10, python": Case(
            {"data_batch_1": batch, "config.yaml": cifar10}, ("data_batch_1",), _TRAIN
        ),
        "cifar10, binary": Case(
            {"data_batch_1.bin": records, "config.yaml": cifar10}, ("data_batch_1.bin",), _TRAIN
        ),
        "cifar100": Case(
            {
                "train": fine,
                "config.yaml": _config("format: cifar100, path: ., validation: 0, test: 2"),
            },
            ("train",),
            _TRAIN,
        ),
        "idx": Case(
            {idx_names[0]: images, idx_names[1]: digits, "config.yaml": idx}, idx_names, _TRAIN
        ),
        "idx, gzip": Case(
            {
                f"{idx_names[0]}.gz": gzip.compress(images),
                f"{idx_names[1]}.gz": gzip.compress(digits),
                "config.yaml": idx,
            },
            (f"{idx_names[0]}.gz", f"{idx_names[1]}.gz"),
            _TRAIN,
        ),
        "npz": Case(
            {"d.npz": npz, "config.yaml": _config("format: npy, path: d.npz")}, ("d.npz",), _TRAIN
        ),
        "npy": Case(
            {
                "x.npy": _saved(lambda stream: np.save(stream, x)),
                "y.npy": _saved(lambda stream: np.save(stream, y)),
                "config.yaml": _config("format: npy, path: x.npy, labels: y.npy"),
            },
            ("x.npy", "y.npy"),
            _TRAIN,
        ),
        "config": Case({"config.yaml": FULL_CONFIG}, ("config.yaml",), _DRY, is_text=True),
        "model": Case(run, ("run/model.safetensors",), evaluate),
        "run's config": Case(run, ("run/config.yaml",), evaluate, is_text=True),
        "summary": Case(run, ("run/summary.json",), (*evaluate, "--verify"), is_text=True),
        "checkpoint": Case(
            {k: v for k, v in run.items() if k != "run/summary.json"},
            ("run/checkpoint.safetensors",),
            resume,
        ),
    }


def _predicted(run: Files, rng: np.random.Generator) -> dict[str, Case]:
    """Return a case for each kind of file that predict takes."""
    from PIL import Image

    x = rng.uniform(0, 255, (6, 48))
    pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    inputs = {
        "in.npy": _saved(lambda stream: np.save(stream, x)),
        "in.npz": _saved(lambda stream: np.savez_compressed(stream, x=x)),
        "in.png": _saved(lambda stream: image.save(stream, "PNG")),
        "in.jpg": _saved(lambda stream: image.save(stream, "JPEG")),
        "in.idx": _idx((3, 4, 4), pixels.tobytes()),
    }
    command = ("predict", "run", "--input")
    return {
        f"predict, {name}": Case({**run, name: content}, (name,), (*command, name))
        for name, content in inputs.items()
    }


def _run(folder: pathlib.Path) -> Files:
    """Return the files of a run, with the checkpoint of its first epoch."""
    from backprop_cli.config import check_config
    from backprop_cli.runs.run import Run
    from backprop_cli.runs.session import Interrupted
    from backprop_cli.solvers.observer import Observer

    text = (
        "data: {format: synthetic, examples: 60, size: 4, classes: 3, validation: 10, test: 10}\n"
        "compute: {backend: numpy, threads: 1}\ntraining: {epochs: 2, momentum: 0.9}\n"
        f"output: '{folder / 'run'}'\n"
    )

    class Stop(Observer):
        def epoch(self, records: object) -> None:
            raise KeyboardInterrupt

    with contextlib.suppress(Interrupted):
        Run(check_config(text, "fuzz")).train(Stop())
    checkpoint = (folder / "run" / "checkpoint.safetensors").read_bytes()
    Run(check_config(text, "fuzz")).train(Observer(), resume=True)
    files = {f"run/{p.name}": p.read_bytes() for p in (folder / "run").iterdir()}
    return {**files, "run/checkpoint.safetensors": checkpoint}


_NUMBERS = [
    0,
    1,
    127,
    128,
    255,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
]
_WORDS = [
    "null", "true", "-1", "0", "1e308", "1e-320", ".nan", ".inf", "-.inf", '""', "[]", "{}", "~",
    "&a [*a]", "*a", "!!python/object/apply:os.system [id]", "!!binary aGk=", "9" * 400, "[" * 300,
    "{a: " * 200, "- - - -", "1_000", "0x7f", "0o17", "2001-01-01", "<<: {a: 1}", "? a", "|", ">",
    "\t", "\u2028", "é", "\x00", "a: 1\na: 2", "---", "...", "%YAML 1.1", "#", "'", '"', ": ", ",",
    "cifar10", "npy", "idx", "synthetic", "multiclass_svm", "../..", "/dev/null", "/dev/zero", "/",
]  # fmt: skip


def mutate(content: bytes, rng: random.Random, *, is_text: bool) -> bytes:
    """Return content with one to four things changed."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        content = _mutate_text(content, rng) if is_text else _mutate_bytes(content, rng)
    return content


def _mutate_text(content: bytes, rng: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    kind = rng.randrange(6)
    lines = text.split("\n")
    if kind == 0:  # a value
        k = rng.randrange(len(lines))
        key, colon, _ = lines[k].partition(":")
        lines[k] = f"{key}{colon} {rng.choice(_WORDS)}"
    elif kind == 1:  # a word anywhere
        k = rng.randrange(len(text) + 1)
        return (text[:k] + rng.choice(_WORDS) + text[k:]).encode("utf-8", "replace")
    elif kind == 2:  # a line twice, gone, or elsewhere
        k = rng.randrange(len(lines))
        lines[k : k + 1] = [lines[k]] * rng.choice([0, 2])
    elif kind == 3:
        rng.shuffle(lines)
    elif kind == 4:  # indentation
        k = rng.randrange(len(lines))
        lines[k] = " " * rng.randrange(6) + lines[k].strip()
    else:
        return _mutate_bytes(content, rng)
    return "\n".join(lines).encode("utf-8", "replace")


def _mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    # Headers are where formats are; they are hit as often as all the rest.
    k = rng.randrange(min(len(data), 200) + 1 if rng.random() < 0.5 else len(data) + 1)
    end = min(len(data), k + rng.choice([1, 2, 4, 8, 64, 1000]))
    kind = rng.randrange(7)
    if kind == 0:
        for place in range(k, end):
            data[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[k:end]
    elif kind == 2:
        data[k:k] = data[k:end]
    elif kind == 3:
        del data[k:]
    elif kind == 4:
        width, number = rng.choice([1, 2, 4, 8]), rng.choice(_NUMBERS)
        number &= (1 << 8 * width) - 1
        data[k : k + width] = number.to_bytes(width, rng.choice(["little", "big"]))
    elif kind == 5:
        data[k:end] = rng.randbytes(end - k)
    else:
        data += rng.randbytes(rng.choice([1, 16, 5000]))
    return bytes(data)


def work(task: Task) -> tuple[Counter[str], list[str], float]:
    """Try some inputs in this process; return how many a format, what failed, peak memory in MB."""
    seed, inputs, only = task
    tried: Counter[str] = Counter()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.chdir(folder)
        all_cases = {k: case for k, case in cases(folder).items() if k.startswith(only)}
        for k in range(inputs):
            rng = random.Random(f"{seed} {k}")  # noqa: S311 - not secrets
            kind = rng.choice(list(all_cases))
            case = all_cases[kind]
            here = folder / "here"
            here.mkdir()
            os.chdir(here)
            victim = rng.choice(case.mutated)
            for file, content in case.files.items():
                (here / file).parent.mkdir(exist_ok=True)
                mutated = mutate(content, rng, is_text=case.is_text) if file == victim else content
                (here / file).write_bytes(mutated)
            ending = attempt(case.command)
            tried[f"{kind}: exit {ending.status}"] += 1
            if ending.wrong is not None:
                problems.append(f"seed {seed}, input {k}, {kind}: {ending.wrong}")
            os.chdir(folder)
            remove(here)
        os.chdir("/")
    return tried, problems, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def remove(folder: pathlib.Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


if __name__ == "__main__":
    campaign(work, 20_000)
