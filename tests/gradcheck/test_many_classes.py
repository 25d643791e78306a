"""Many classes: no command holds a matrix of classes by classes."""

import tracemalloc

import numpy as np
import pytest

from tests.command import call

C = 1500


@pytest.mark.parametrize(
    "words", [("gradcheck", "--samples", "2"), ("explain",), ("explain", "--json")]
)
def test_less_memory_than_a_jacobian_of_softmax(tmp_path, monkeypatch, capsys, words):
    """C x C numbers of float64 are 18 MB, and a graph of examples has three of them for each."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("d.npz", x=rng.standard_normal((2 * C, 2)), y=np.arange(2 * C) % C)
    (tmp_path / "c.yaml").write_text(
        "data: {format: npy, path: d.npz, validation: 0, test: 0}\nl2: 0.1\n"
        "training: {batch_size: 4}\ncompute: {backend: numpy, threads: 1}\noutput: run\n"
    )
    call(words[0], "--help")  # imports
    tracemalloc.start()
    try:
        assert call(*words, "--config", "c.yaml") == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    capsys.readouterr()
    assert peak < 8 * C * C
