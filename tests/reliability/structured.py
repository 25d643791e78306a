"""Run directories whose values are changed and whose digests are made anew, through every command.

``python -m tests.reliability.structured --inputs 50000``

Unlike the files of ``tests.reliability.fuzz``, these are whole: what stands in them is not what a
run would write. The demands are the same; warnings and control characters are problems too.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import multiprocessing.util
import os
import pathlib
import random
import resource
import shutil
import tempfile
from collections import Counter
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import load, save

from tests.reliability.attempts import Task, attempt, campaign
from tests.reliability.fuzz import Files, remove
from tests.reliability.run_directories import Case, cases, try_unchanged, write

_MODEL, _CHECKPOINT = "run/model.safetensors", "run/checkpoint.safetensors"
_CONFIG = "run/config.yaml"

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, 7, 10, -1, -(2**63), 2**63, 2**64, 10**21, 10**400, 0.0, -0.0,
    0.5, 1.5, -0.5, 1e-320, 1e-30, 1e30, 1e38, 1e200, 1e308, float("nan"), float("inf"),
    -float("inf"), "", "x", "0", "auto", "none", "1e400", "\x1b[31mred\x1b[0m", "a\nError: forged",
    "\u202e\u2028\x85\x07", "=1+1", "@x", "a" * 5000, "\ud800", "../..", "/dev/zero", "float64",
    "lbfgs", "multiclass_svm", [], {}, [[]], [1], [1, 2], {"a": 1}, [None] * 3, ["a"] * 300,
    [0.1] * 300, [[1, 2]] * 50,
)  # fmt: skip


def mutated(files: Files, rng: random.Random) -> Files:
    """Return the files with one to three values changed, and digests that fit."""
    whole, files = files, dict(files)
    names = [n for n in files if n.startswith("run/") and "png" not in n and "html" not in n]
    if _CHECKPOINT in names and rng.random() < 0.7:
        names = [_CHECKPOINT]
    for _ in range(rng.choice([1, 1, 2, 3])):
        name = rng.choice(sorted(names))
        files[name] = _changed(name, files[name], rng)
    if rng.random() < 0.02:
        files[rng.choice(sorted(names))] = files[rng.choice(sorted(names))]
    if rng.random() < 0.7:
        if files.get(_CONFIG) != whole.get(_CONFIG):
            _record_data_anew(files)
        _make_digests_anew(files)
    return files


def _changed(name: str, content: bytes, rng: random.Random) -> bytes:
    if name.endswith(".safetensors"):
        return _changed_tensors(content, rng)
    if name.endswith(".yaml"):
        tree = yaml.safe_load(content)
        _change(tree, rng, most=500)
        return _yaml(tree)
    if name.endswith(".jsonl"):
        lines = [json.loads(line) for line in content.decode().split("\n")[:-1]]
        _change(lines, rng)
        return "".join(_json(line) + "\n" for line in lines).encode("utf-8", "replace")
    if not name.endswith(".json"):
        return content
    tree = json.loads(content)
    if rng.random() < 0.05:
        return _json(rng.choice(_VALUES)).encode("utf-8", "replace")
    _change(tree, rng)
    return _json(tree).encode("utf-8", "replace")


def _yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "replace")


def _json(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every container with every key of it."""
    found, left = [], [tree] if isinstance(tree, dict | list) else []
    while left:
        node = left.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            found.append((node, key))
            if isinstance(value, dict | list):
                left.append(value)
    return found


def _change(tree: Any, rng: random.Random, most: float = 1e400) -> None:
    """Change a value of a tree in place: another one, a little more, gone, twice, or moved."""
    places = _places(tree)
    if not places:
        return
    node, key = rng.choice(places)
    value, kind = node[key], rng.randrange(10)
    if kind < 5:
        new = copy.deepcopy(rng.choice(_VALUES))
        # What a config asks for is done, however long that takes.
        large = isinstance(new, int | float) and not isinstance(new, bool) and most < new < 2**64
        node[key] = 3 if large else new
    elif kind < 7 and isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # 1.5 times an integer that is no float
            node[key] = rng.choice([value + 1, value - 1, -value, 2 * value, 1.5 * value, "1"])
    elif kind == 7:
        del node[key]
    elif kind == 8 and isinstance(node, list):
        node.insert(rng.randrange(len(node) + 1), copy.deepcopy(value))
    elif kind == 8:
        node[rng.choice(["x", "\x1b[2J", "epoch", "settings"])] = copy.deepcopy(value)
    else:
        other, place = rng.choice(places)
        with contextlib.suppress(IndexError, KeyError, TypeError):
            node[key] = copy.deepcopy(other[place])


def _changed_tensors(content: bytes, rng: random.Random) -> bytes:
    n = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + n])["__metadata__"]
    arrays = {name: array.copy() for name, array in load(content).items()}
    if rng.random() < 0.7:
        key = next(k for k in metadata if k.startswith("backprop"))
        tree = json.loads(metadata[key])
        _change(tree, rng)
        metadata[key] = _json(tree).encode("utf-8", "replace").decode()
    else:
        name = rng.choice(sorted(arrays))
        arrays[name] = _changed_array(arrays[name], rng)
        if rng.random() < 0.1:
            arrays[rng.choice(["x", "W", name + "_0"])] = arrays.pop(name)
    if "sha256" in metadata:
        from backprop_cli.runs.checkpoint import _digest

        metadata["sha256"] = _digest(metadata["backprop-checkpoint"], arrays)
    return save(arrays, metadata)


def _changed_array(array: Any, rng: random.Random) -> Any:
    kind = rng.randrange(6)
    extremes: list[float] = [0.0, -1.0, np.nan, np.inf, 1e-45, 1e-30, 1e38, 1e300, 3.4e38, 1e19]
    factors: list[float] = [-1, 0, 1e-20, 1e10, 1e30, 1e200]
    if array.dtype.kind == "i":
        extremes, factors = [0, -1, 1, 10**18, -(10**18)], [-1, 0, 10**10]
    with np.errstate(all="ignore"):
        if kind < 2 and array.size:
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice(extremes)
        elif kind == 2:
            array[...] = rng.choice(extremes)
        elif kind == 3:
            factor = array.dtype.type(rng.choice(factors))
            array = np.asarray(array * factor)  # without that, a number of no dimensions
        elif kind == 4:
            array = array.astype(
                rng.choice([np.float64, np.float32, np.float16, np.int64, np.bool_])
            )
        else:
            shape = rng.choice([(0,), (1,), (), (1, 1), array.shape[::-1], (*array.shape, 1)])
            array = np.resize(array, shape)
    return array


def _record_data_anew(files: Files) -> None:
    """Let the fingerprint in a config be that of the data that it now names, if it can be read."""
    from backprop_cli.config import check_config
    from backprop_cli.errors import BackpropError
    from backprop_cli.formats import load_dataset
    from backprop_cli.sources import survey

    with contextlib.suppress(BackpropError, KeyError, TypeError):
        config = check_config(files[_CONFIG], "c")
        tree = yaml.safe_load(files[_CONFIG])
        found = survey(load_dataset(config.data), config.data.standardize, config.model.dtype)
        tree["recorded"]["data"] = found.fingerprint
        files[_CONFIG] = _yaml(tree)


def _make_digests_anew(files: Files) -> None:
    """Let the digests that files hold of each other fit again, where they can."""
    import hashlib

    from backprop_cli.config import check_config
    from backprop_cli.errors import ConfigError
    from backprop_cli.runs.checkpoint import _digest
    from backprop_cli.runs.identity import config_digest

    model = hashlib.sha256(files.get(_MODEL, b"")).hexdigest()
    for name in ("run/summary.json", "run/calibration.json"):
        with contextlib.suppress(ValueError, KeyError):
            tree = json.loads(files[name])
            if isinstance(tree, dict) and "model_sha256" in tree:
                files[name] = _json({**tree, "model_sha256": model}).encode("utf-8", "replace")
    if _CHECKPOINT in files and _CONFIG in files:
        with contextlib.suppress(ConfigError, ValueError, KeyError, TypeError):
            config = check_config(files[_CONFIG], "c")
            content = files[_CHECKPOINT]
            n = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8 : 8 + n])["__metadata__"]
            tree = json.loads(metadata["backprop-checkpoint"])
            if "config" in tree["about"]:
                tree["about"]["config"] = config_digest(config)
                text = _json(tree).encode("utf-8", "replace").decode()
                arrays = load(content)
                metadata = {"backprop-checkpoint": text, "sha256": _digest(text, arrays)}
                files[_CHECKPOINT] = save(arrays, metadata)


@functools.cache
def _made() -> tuple[pathlib.Path, dict[str, Case]]:
    """Return a folder of this process, and the cases that are made in it."""
    name = tempfile.mkdtemp()
    multiprocessing.util.Finalize(None, shutil.rmtree, (name,), exitpriority=0)
    folder = pathlib.Path(name)
    made = cases(folder)
    try_unchanged(made["run"], folder)
    return folder, made


def work(task: Task) -> tuple[Counter[str], list[str], float]:
    """Try some inputs in this process; return how many a case, what failed, peak memory in MB."""
    seed, inputs, only = task
    tried: Counter[str] = Counter()
    problems: list[str] = []
    folder, made = _made()
    all_cases = {k: case for k, case in made.items() if k.startswith(only)}
    shares = [case.share for case in all_cases.values()]
    for k in range(inputs):
        rng = random.Random(f"{seed} {k}")  # noqa: S311 - not secrets
        kind = rng.choices(list(all_cases), shares)[0]
        case, here = all_cases[kind], folder / "here"
        write(mutated(case.files, rng), here)
        command = rng.choice(case.commands)
        os.chdir(here)
        ending = attempt(command)
        tried[f"{kind}: {command[0]}: exit {ending.status}"] += 1
        if ending.wrong is not None:
            words = " ".join(command)
            problems.append(f"seed {seed}, input {k}, {kind}, {words}: {ending.wrong}")
        os.chdir(folder)
        remove(here)
    return tried, problems, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    campaign(work, 50_000)
