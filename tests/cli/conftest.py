"""Configs of a few examples."""

import numpy as np
import pytest


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a config of 60 examples of four features, three classes."""

    def write(more="", x=None, y=None):
        rng = np.random.default_rng(0)
        labels = np.arange(60) % 3 if y is None else y
        features = rng.standard_normal((60, 4)) + labels[:, None] if x is None else x
        np.savez(tmp_path / "d.npz", x=features, y=labels)
        path = tmp_path / "config.yaml"
        path.write_text(
            f"data: {{format: npy, path: '{tmp_path}/d.npz', validation: 12, test: 12}}\n"
            f"training: {{epochs: 2, batch_size: 10}}\noutput: '{tmp_path}/run'\n{more}"
        )
        return path

    return write
