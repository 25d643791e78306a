"""The data sets of the optima, as arrays in a folder: ``python -m benchmarks.datasets DIR``.

Every set has a fixed split: the published one where there is one, else a fifth of each class by a
fixed seed. Factors of two levels become 0 and 1; no set has missing values.
"""

from __future__ import annotations

import argparse
import gzip
import pathlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_cli.formats import python2_pickle
from benchmarks.patches import PatchFeatures

_SEED = 0
_TEST_FRACTION = 0.2
_N_PATCHES = 400


@dataclass(frozen=True)
class Folders:
    """Where the published files are."""

    mlbench: pathlib.Path
    fashion_mnist: pathlib.Path
    cifar10: pathlib.Path


class Split(NamedTuple):
    """Features as they are stored, and labels from 0, int64."""

    x_train: NDArray[Any]
    y_train: NDArray[np.int64]
    x_test: NDArray[Any]
    y_test: NDArray[np.int64]


def _split(x: NDArray[Any], y: NDArray[Any], test: NDArray[np.bool_]) -> Split:
    labels = np.unique(y, return_inverse=True)[1].astype(np.int64)
    return Split(x[~test], labels[~test], x[test], labels[test])


def _last(n: int, n_train: int) -> NDArray[np.bool_]:
    return np.arange(n) >= n_train


def _stratified(x: NDArray[Any], y: NDArray[Any]) -> Split:
    """Split at random: a fifth of each class, rounded, is test."""
    rng = np.random.default_rng(_SEED)
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        test[rows[: round(_TEST_FRACTION * len(rows))]] = True
    return _split(x, y, test)


def _bundled(name: str) -> Callable[[Folders], Split]:
    """Return the loader of a set that comes with scikit-learn."""

    def load(folders: Folders) -> Split:
        import sklearn.datasets

        return _stratified(*getattr(sklearn.datasets, f"load_{name}")(return_X_y=True))

    return load


def _mlbench(name: str, target: str = "Class", dtype: type = np.float64) -> Callable[..., Split]:
    """Return the loader of a set of R's mlbench that has no published split."""
    return lambda folders: _stratified(*_table(folders, name, target, dtype))


def _published(name: str, target: str, dtype: type, n_train: int) -> Callable[..., Split]:
    """Return the loader of a set of R's mlbench whose first ``n_train`` rows are for training.

    Letter: Frey and Slate (1991). The others: StatLog (1994), whose class counts they have.
    """

    def load(folders: Folders) -> Split:
        x, y = _table(folders, name, target, dtype)
        return _split(x, y, _last(len(y), n_train))

    return load


def _table(
    folders: Folders, name: str, target: str, dtype: type
) -> tuple[NDArray[Any], NDArray[np.str_]]:
    import rdata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown encodings of strings, which are all ASCII
        frame = rdata.read_rda(folders.mlbench / f"{name}.rda")[name]
    # Factors of two levels are the strings "0" and "1".
    x = frame.drop(columns=target).astype(np.float64).to_numpy()
    if not np.isfinite(x).all():
        raise ValueError(f"{name}: missing values")
    return x.astype(dtype), frame[target].to_numpy(dtype=str)


def _vowel(folders: Folders) -> Split:
    """Train on speakers 0 to 7, test on 8 to 14, as published; the speaker is no feature."""
    x, y = _table(folders, "Vowel", "Class", np.float64)
    return _split(x[:, 1:], y, x[:, 0] > 7)


def _fashion_mnist(folders: Folders) -> Split:
    def read(name: str, header: int) -> NDArray[np.uint8]:
        raw = gzip.decompress((folders.fashion_mnist / f"{name}-ubyte.gz").read_bytes())
        return np.frombuffer(raw, np.uint8, offset=header)

    def part(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images = read(f"{name}-images-idx3", 16).reshape(-1, 784)
        return images, read(f"{name}-labels-idx1", 8).astype(np.int64)

    return Split(*part("train"), *part("t10k"))


def cifar10(folders: Folders) -> Split:
    def part(*names: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        batches = [python2_pickle.load(folders.cifar10 / name) for name in names]
        labels = np.concatenate([batch["labels"] for batch in batches])
        return np.concatenate([batch["data"] for batch in batches]), labels.astype(np.int64)

    return Split(*part(*(f"data_batch_{k}" for k in range(1, 6))), *part("test_batch"))


def _cifar10_patches(folders: Folders) -> Split:
    """CIFAR-10 as 3,200 random-patch features, float32."""
    x_train, y_train, x_test, y_test = cifar10(folders)
    features = PatchFeatures(x_train, _N_PATCHES, _SEED)
    return Split(features(x_train), y_train, features(x_test), y_test)


def _synthetic(n_classes: int, separation: float) -> Callable[[Folders], Split]:
    """Return the loader of 50,000 + 10,000 synthetic features of an image encoder: 768, float32.

    Classes are Gaussian with a common covariance. In a random basis, the variance within classes
    decays as 1 / j, that between classes as 1 / j^1.5; features have different means and scales.
    """
    n_train, n_test, d = 50_000, 10_000, 768

    def load(folders: Folders) -> Split:
        rng = np.random.default_rng(_SEED)
        basis = np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)
        decay = 1 / np.arange(1, d + 1, dtype=np.float32)  # of variances: its root scales
        means = separation * rng.standard_normal((n_classes, d), np.float32) * decay**0.75
        labels = rng.permutation(np.arange(n_train + n_test) % n_classes)
        x = rng.standard_normal((n_train + n_test, d), np.float32) * decay**0.5
        x = (x + means[labels]) @ basis.T
        x *= np.exp(0.5 * rng.standard_normal(d, np.float32))
        x += rng.standard_normal(d, np.float32)
        return _split(x, labels, _last(len(x), n_train))

    return load


SETS: dict[str, Callable[[Folders], Split]] = {
    "iris": _bundled("iris"),
    "wine": _bundled("wine"),
    "breast_cancer": _bundled("breast_cancer"),
    "digits": _bundled("digits"),
    "sonar": _mlbench("Sonar"),
    "ionosphere": _mlbench("Ionosphere"),
    "vehicle": _mlbench("Vehicle"),
    "vowel": _vowel,
    "dna": _published("DNA", "Class", np.uint8, 2000),
    "satellite": _published("Satellite", "classes", np.uint8, 4435),
    "letter": _published("LetterRecognition", "lettr", np.uint8, 16_000),
    "shuttle": _published("Shuttle", "Class", np.float32, 43_500),
    "fashion_mnist": _fashion_mnist,
    "cifar10": cifar10,
    "cifar10_patches": _cifar10_patches,
    "synthetic_100": _synthetic(100, 0.5),
    "synthetic_1000": _synthetic(1000, 0.75),
}


def read(folder: pathlib.Path) -> Split:
    """Return a set that `main` wrote."""
    return Split(*(np.load(folder / f"{name}.npy") for name in Split._fields))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datasets")
    parser.add_argument("folder", type=pathlib.Path, help="gets a folder per set")
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument(
        "--mlbench", type=pathlib.Path, help="the .rda files of R's package mlbench",
        default="/usr/lib/R/site-library/mlbench/data",
    )  # fmt: skip
    parser.add_argument("--fashion-mnist", type=pathlib.Path, help="the IDX files, gzipped")
    parser.add_argument("--cifar10", type=pathlib.Path, help="the folder cifar-10-batches-py")
    options = parser.parse_args(arguments)
    folders = Folders(options.mlbench, options.fashion_mnist, options.cifar10)
    for name in options.only:
        split = SETS[name](folders)
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for part, array in zip(Split._fields, split, strict=True):
            np.save(folder / f"{part}.npy", array)
        n, d = split.x_train.shape
        print(f"{name}: {n} + {len(split.x_test)} x {d} {split.x_train.dtype}, ", end="")
        print(f"{len(np.unique(split.y_train))} classes", flush=True)


if __name__ == "__main__":
    main()
