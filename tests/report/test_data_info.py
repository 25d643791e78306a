"""`backprop data info`: what NumPy says of the arrays, and pages and pictures."""

import json

import numpy as np
import pytest

NAMES = ["<b>one</b>", "two", "three"]


@pytest.fixture
def config(tmp_path):
    def write(x, classes=NAMES, more="validation: 0, test: 10"):
        n = len(x)
        np.savez(tmp_path / "d.npz", x=x, y=np.arange(n) % len(classes))
        path = tmp_path / "config.yaml"
        names = json.dumps(classes)
        path.write_text(
            f"data: {{format: npy, path: '{tmp_path}/d.npz', classes: {names}, {more}}}\n", "utf-8"
        )
        return path

    return write


def test_figures_are_numpys(config, run):
    x = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32) * 3
    _, out, _ = run(
        "data", "info", "--config", config(x, more="validation: 12, test: 10"), "--json"
    )
    found = json.loads(out)
    assert (found["features"], found["image"], found["dtype"]) == (4, None, "float32")
    splits = found["splits"]
    assert {name: split["examples"] for name, split in splits.items()} == {
        "train": 38, "validation": 12, "test": 10,
    }  # fmt: skip
    assert np.sum([split["by_class"] for split in splits.values()], axis=0).tolist() == [20] * 3
    assert min(split["low"] for split in splits.values()) == x.min()
    assert max(split["high"] for split in splits.values()) == x.max()
    assert sum(split["not_finite"] for split in splits.values()) == 0


def test_numbers_that_are_not_finite_are_counted(config, run):
    x = np.arange(40.0).reshape(10, 4)
    x[2, 1], x[3, 3], x[0, 0] = np.nan, np.inf, -np.inf
    path = config(x, ["a", "b"], "validation: 0, test: 0")
    _, out, _ = run("data", "info", "--config", path, "--json")
    (split,) = json.loads(out)["splits"].values()
    assert (split["low"], split["high"], split["not_finite"]) == (1, 39, 3)
    x[:] = np.nan
    _, out, _ = run("data", "info", "--config", config(x, ["a", "b"], "validation: 0, test: 0"))
    assert out.splitlines()[4].split()[:5] == ["train", "10", "-", "-", "40"]


def test_the_text_has_every_class_and_pictures(config, run):
    x = np.zeros((60, 8, 8, 3), np.uint8)
    x[1::3, :4], x[2::3, :, 4:] = 255, 255  # dark, the upper half bright, the right half bright
    status, out, err = run("data", "info", "--config", config(x))
    assert (status, err) == (0, "")
    assert "192 of uint8: images of 8 x 8 pixels, 3 channels" in out
    lines = out.splitlines()
    for name in NAMES:
        assert any(line.split()[0] == name for line in lines if line)
    upper = lines[lines.index(next(k for k in lines if k.endswith("  two"))) + 1 :][:4]
    assert [line.strip() for line in upper] == ["@" * 8, "@" * 8, "", ""]
    right = lines[lines.index("three") + 1 :][:4]
    assert right == ["    @@@@"] * 4


def test_the_page_shows_names_as_text(config, run, tmp_path):
    x = np.zeros((60, 8, 8), np.uint8)
    page = tmp_path / "info.html"
    status, out, _ = run("data", "info", "--config", config(x), "--html", page)
    assert status == 0
    assert out.splitlines()[-1].endswith(str(page))
    text = page.read_text("utf-8")
    assert "&lt;b&gt;one" in text
    assert "<b>one" not in text
    assert text.count("data:image/png") == 3


def test_mistakes(config, run, tmp_path):
    path = config(np.zeros((60, 2)))
    for arguments, message in (
        (["--config", tmp_path / "none.yaml"], "cannot read the config"),
        (["--config", path, "--set", "data.path=none.npz"], "none.npz"),
        (["--config", path, "--html", tmp_path / "page.txt"], "ends in .html"),
        (["--config", path, "--html", tmp_path / "no" / "page.html"], "cannot write"),
    ):
        status, _, err = run("data", "info", *arguments)
        assert status == 2
        assert message in err
        assert err.count("\n") == 1


def test_many_classes_are_cut_off(config, run):
    names = [f"class {k}" for k in range(50)]
    _, out, _ = run("data", "info", "--config", config(np.zeros((200, 2)), names))
    assert "(and 20 more: --json has them all)" in out
