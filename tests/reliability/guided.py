"""Coverage-guided fuzzing of the readers, with atheris: ``python -m tests.reliability.guided``.

Arguments go to libFuzzer, as in ``-max_total_time=600``. An optional job: atheris is not among
the packages of ``dev``.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["backprop_cli"]):
    from backprop_cli.config import check_config
    from backprop_cli.errors import BackpropError
    from backprop_cli.formats import load_dataset
    from backprop_cli.runs.checkpoint import Checkpoint
    from backprop_cli.runs.model_file import load_model
    from backprop_cli.sources import survey
    from tests.reliability.fuzz import cases

_CIFAR = "data: {format: cifar10, path: ., train: [data_batch_1], validation: 0, test: 2}"
_IDX = "data: {format: idx, path: ., validation: 2, test: 2}"


_NAMES = (
    "data_batch_1", "data_batch_1.bin", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz",
    "d.npz", "model.safetensors", "checkpoint.safetensors", "config.yaml",
)  # fmt: skip


def _seeds(folder: pathlib.Path) -> list[bytes]:
    """Return a valid file of each kind, with the byte before it that chooses its reader."""
    found = {
        pathlib.Path(name).name: content
        for case in cases(folder).values()
        for name, content in case.files.items()
    }
    return [bytes([kind]) + found[name] for kind, name in enumerate(_NAMES)]


def _data(text: str) -> None:
    survey(load_dataset(check_config(text, "fuzz").data), "none", "float32")


def try_one(content: bytes) -> None:
    """Give the content to the reader that its first byte chooses; only our errors may come."""
    if not content:
        return
    kind, content = content[0] % len(_NAMES), content[1:]
    file = pathlib.Path(_NAMES[kind])
    file.write_bytes(content)
    try:
        if kind in (0, 1):
            _data(_CIFAR)
        elif kind in (2, 3):
            pathlib.Path("train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))
            _data(_IDX)
        elif kind == 4:
            _data("data: {format: npy, path: d.npz}")
        elif kind == 5:
            load_model(file)
        elif kind == 6:
            Checkpoint(file)
        else:
            check_config(content, "fuzz")
    except BackpropError:
        pass
    finally:
        file.unlink()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        corpus = pathlib.Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(_seeds(pathlib.Path(folder))):
            (corpus / str(number)).write_bytes(seed)
        os.chdir(folder)
        atheris.Setup([*sys.argv, str(corpus)], try_one)
        atheris.Fuzz()
