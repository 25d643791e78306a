"""Each mistake of a user is one clear line on stderr and exit status 2."""

import json

import numpy as np
import pytest

CONFIG = """\
data: {format: npy, path: %s, validation: 0.2}
training: {epochs: 1}
output: %s
"""


def arrays(n=60, d=4, C=3):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)), np.arange(n) % C


def write(tmp_path, x, y, name="data.npz"):
    np.savez(tmp_path / name, x=x, y=y)
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG % (tmp_path / name, tmp_path / "run"))
    return config


def assert_one_line(result, *words):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ")
    for word in words:
        assert word in err, err


def nan(x, y):
    x[7, 2] = np.nan
    return x, y


def infinity(x, y):
    x[3, 0] = -np.inf
    return x, y


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nan, ["features[7, 2] is nan"]),
        (infinity, ["features[3, 0] is -inf"]),
        (lambda x, y: (1e39 * x, y), ["finite in float32"]),
        (lambda x, y: (x, y[:-1]), ["59 labels for the 60 examples"]),
        (lambda x, y: (x, 0 * y), ["at least two classes", "all 60 labels are '0'"]),
        (lambda x, y: (x, y + 0.5), ["row 0", "regression targets"]),
        (lambda x, y: (x, np.eye(3)[y]), ["one-hot", "y'].argmax(axis=1)"]),
        (lambda x, y: (x, np.tile(y[:, None] / 4, 2)), ["one number or text", "60 x 2"]),
        (lambda x, y: (x.astype(complex), y), ["expected real numbers", "complex128"]),
        (lambda x, y: (x[:, 0], y), ["expected n x d"]),
        (lambda x, y: (x[:, :0], y), ["expected examples", "60 x 0"]),
        (lambda x, y: (x[:0], y[:0]), ["expected examples", "0 x 4"]),
        (lambda x, y: (x.astype(object), y), ["Python objects"]),
        (lambda x, y: (x[:2], y[:2]), ["leaves"]),
    ],
)
def test_data(run, tmp_path, change, words):
    config = write(tmp_path, *change(*arrays()))
    assert_one_line(run("train", "--config", config), *words)
    assert not (tmp_path / "run").exists()


def test_missing_data_file(run, tmp_path):
    config = write(tmp_path, *arrays())
    (tmp_path / "data.npz").unlink()
    assert_one_line(run("train", "--config", config), "data.npz", "No such file")


def test_every_truncation_of_a_data_file(run, tmp_path):
    config = write(tmp_path, *arrays())
    content = (tmp_path / "data.npz").read_bytes()
    for size in (0, 1, 30, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "data.npz").write_bytes(content[:size])
        assert_one_line(run("train", "--config", config), "data.npz")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.learning_rte=1", ["unknown key", "'learning_rate'"]),
        ("training.epochs", ["expected KEY=VALUE"]),
        ("training.epochs.deep=1", ["not a mapping"]),
        ("training.epochs=many", ["expected an integer", "'many'"]),
        ("=3", ["expected KEY=VALUE"]),
        ("loss=hinge", ["softmax_cross_entropy or multiclass_svm"]),
        ("training.learning_rate=[", ["not valid YAML"]),
        ("data.validation=0.999", ["leaves"]),
        ("data.standardize=per_channel", ["needs images"]),
        ("training.horizontal_flips=true", ["expected images"]),
        ("model.outputs=1", ["two classes"]),
        ("data.test=DATA", ["files of their own"]),
    ],
)
def test_overrides(run, tmp_path, override, words):
    config = write(tmp_path, *arrays())
    override = override.replace("DATA", str(tmp_path / "data.npz"))
    assert_one_line(run("train", "--config", config, "--set", override), *words)


@pytest.mark.parametrize(
    "text", ["", "- 1\n- 2\n", "just words", "3", "a: [", "\x00", "a: 1\na: 2"]
)
def test_no_config(run, tmp_path, text):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    status, out, err = run("train", "--config", config)
    assert (status, out) == (2, "")
    assert all(line.startswith(f"Error: {config}") for line in err.splitlines())


def test_missing_config(run, tmp_path):
    assert_one_line(run("gradcheck", "--config", tmp_path / "none.yaml"), "none.yaml", "No such")
    assert_one_line(run("gradcheck", "--config", tmp_path), "Is a directory")


def test_output_that_cannot_be_written(run, tmp_path):
    config = write(tmp_path, *arrays())
    (tmp_path / "file").write_text("")
    result = run("train", "--config", config, "--output", tmp_path / "file" / "run")
    assert_one_line(result, "cannot use this folder")


def test_a_run_is_not_overwritten(run, tmp_path):
    config = write(tmp_path, *arrays())
    assert run("train", "--config", config)[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert_one_line(run("train", "--config", config), "has finished", "--output")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


def test_eval(run, tmp_path):
    config = write(tmp_path, *arrays())
    assert run("train", "--config", config)[0] == 0
    folder = tmp_path / "run"
    status, out, err = run("eval", folder, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["examples"] == 12  # a fifth of 60
    x, y = arrays(d=5)
    np.savez(tmp_path / "wide.npz", x=x, y=y)
    other = f"data.path={tmp_path / 'wide.npz'}"
    assert_one_line(run("eval", folder, "--set", other), "of 4 features", "found 5")
    x, y = arrays(C=5)
    np.savez(tmp_path / "more.npz", x=x, y=y)
    other = f"data.path={tmp_path / 'more.npz'}"
    assert_one_line(run("eval", folder, "--set", other), "label '3'", "none of the 3 classes")
    np.savez(tmp_path / "one.npz", x=x, y=0 * y)
    other = f"data.test={tmp_path / 'one.npz'}"
    status, out, err = run("eval", folder, "--set", other, "--json")
    assert (status, json.loads(out)["examples"]) == (0, 60)  # of one class, which is fine here
    assert_one_line(run("eval", folder, "--split", "validation", "--set", "data.validation=0"))
    for key in (
        "data.seed=7",
        "loss=multiclass_svm",
        "data.test=0.5",
        "data.test=",
        "training.epochs=2",
    ):
        assert_one_line(run("eval", folder, "--set", key), "only files of other data can be set")
    (tmp_path / "empty").mkdir()
    assert_one_line(run("eval", tmp_path / "empty"), "no config.yaml")
    assert_one_line(run("eval", tmp_path / "none"), "found none")
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(40))
    assert_one_line(run("eval", folder), "not a whole model file")
    (folder / "model.safetensors").unlink()
    assert_one_line(run("eval", folder), "has not begun")


def test_bad_usage(run):
    status, out, err = run("train")
    assert (status, out) == (2, "")
    assert "--config" in err
    assert run("nonsense")[0] == 2
