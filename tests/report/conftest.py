"""Runs to show: images, features, two classes, many, a sweep, one that diverged."""

import numpy as np
import pytest

from tests.command import call

IMAGES = """\
data: {{format: synthetic, examples: 400, size: 8, classes: {classes}, validation: 100, test: 100}}
training: {{epochs: {epochs}, batch_size: 20, learning_rate: {rate}}}
model: {{outputs: {outputs}}}
output: '{output}'
"""
NAMES = ["<script>alert(1)</script>", "ä & b", "a very long name of a class, indeed"]


def train(folder, status=0, **values):
    settings = {"classes": 5, "epochs": 3, "rate": 0.01, "outputs": "per_class", **values}
    config = folder.with_suffix(".yaml")
    config.write_text(IMAGES.format(output=folder, **settings))
    assert call("train", "--config", config) == status
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of runs, by what they are."""
    base = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(base / "d.npz", x=rng.standard_normal((90, 4)), y=np.arange(90) % 3)
    features = base / "features.yaml"
    features.write_text(
        f"data: {{format: npy, path: '{base}/d.npz', classes: {NAMES}}}\n"
        f"training: {{epochs: 2}}\noutput: '{base}/features of no image'\n"
    )
    assert call("train", "--config", features) == 0
    sweep = base / "sweep.yaml"
    sweep.write_text(IMAGES.format(output=base / "sweep", classes=3, epochs=2, rate=0.01,
                                   outputs="per_class"))  # fmt: skip
    grids = ["--grid", "training.learning_rate=1e-3,1e-2,1e30", "--grid", "l2=0,0.1"]
    assert call("sweep", "--config", sweep, *grids) == 0
    return {
        "images": train(base / "images"),
        "one epoch": train(base / "one", epochs=1),
        "two classes": train(base / "two", classes=2, outputs=1),
        "many classes": train(base / "many", classes=60),
        "diverged": train(base / "diverged", status=3, rate=1e30),
        "features": base / "features of no image",
        "sweep": base / "sweep",
    }
