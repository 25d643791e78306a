"""What stands in a run directory is checked before it is used: digests that fit prove nothing."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from backprop_cli.runs import checkpoint
from backprop_cli.runs.history import HistoryLine
from tests.reliability.run_directories import made as made_run

DATA = "data: {format: synthetic, examples: 60, size: 4, classes: 3, validation: 10, test: 10}\n"
SGD = f"{DATA}training: {{epochs: 3, momentum: 0.9}}\noutput: run\n"
LBFGS = f"{DATA}training: {{solver: lbfgs}}\nl2: 0.01\noutput: run\n"
GRID = ("--grid", "l2=0.1,0.01", "--grid", "training.seed=1,2", "--set", "training.epochs=2")
FILE = "run/checkpoint.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files of interrupted runs, and of one that has finished."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {
            "descent": made_run(folder, ("train",), SGD, epochs=1),
            "lbfgs": made_run(folder, ("train",), LBFGS, epochs=4),
            "sweep": made_run(folder, ("sweep", *GRID), SGD, epochs=3),
            "finished": made_run(folder, ("train",), SGD),
            "finished sweep": made_run(folder, ("sweep", *GRID), SGD),
        }


def content_of(file):
    n = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + n])["__metadata__"], {k: v.copy() for k, v in load(file).items()}


def checkpoint_of(file, change):
    """Return a checkpoint with something changed, and the digest made anew."""
    metadata, arrays = content_of(file)
    tree = json.loads(metadata["backprop-checkpoint"])
    change(tree, arrays)
    text = json.dumps(tree)
    digest = checkpoint._digest(text, arrays)
    return save(arrays, {"backprop-checkpoint": text, "sha256": digest})


def write(files, folder):
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def set_to(value, *path):
    def change(tree, arrays):
        node = tree
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value

    return change


def array(name, make):
    def change(tree, arrays):
        arrays[name] = make(arrays[name])

    return change


BIG = 10**400
DESCENT = [
    set_to("x", "training"),
    set_to(99, "training", "epochs_finished"),
    set_to(-1, "training", "epochs_finished"),
    set_to(BIG, "training", "seconds"),
    set_to(10**9, "training", "step"),
    set_to([], "training", "of_steps", "right"),
    set_to([10**6], "training", "of_steps", "right"),
    set_to([None], "training", "of_steps", "losses"),
    set_to([], "training", "diverged"),
    set_to([7], "training", "diverged"),
    set_to([[]], "training", "history"),
    set_to(None, "training", "history", 0, 0, "learning_rate"),
    set_to("x", "training", "history", 0, 0, "train_loss"),
    set_to(BIG, "training", "history", 0, 0, "train_loss"),
    set_to(7, "training", "history", 0, 0, "epoch"),
    set_to(5.0, "training", "history", 0, 0, "validation_accuracy"),
    set_to(1.0, "training", "history", 0, 0, "unknown"),
    set_to(9, "training", "selections", 0, "kept_epoch"),
    set_to(None, "training", "selections", 0, "kept_epoch"),
    set_to([1], "training", "selections", 0, "best"),
    set_to([1, "x"], "training", "selections", 0, "best"),
    set_to(1, "training", "selections", 0, "stopped"),
    set_to([], "training", "selections"),
    set_to([], "about"),
    set_to(3, "format"),
    set_to(1, "unknown"),
    array("W", lambda W: W * np.float32(np.nan)),
    array("W", lambda W: W[:, :1]),
    array("velocity_W", lambda W: W.astype(np.float64)),
    array("kept_b", lambda b: np.full_like(b, np.inf)),
]
SEARCH = ("training", "searches", 0, 1)
LBFGS_STATE = [
    set_to(5, "training", "searches", 0, 0),
    set_to([], "training", "searches"),
    set_to([[0]], "training", "searches"),
    set_to(999, *SEARCH, "remembered"),
    set_to(-1, *SEARCH, "remembered"),
    set_to(0.0, *SEARCH, "t"),
    set_to(float("inf"), *SEARCH, "cost"),
    set_to(None, *SEARCH, "low"),
    set_to(2.0, *SEARCH, "low", "t"),
    set_to({"t": 0.5, "cost": 1.0, "slope": 1.0}, *SEARCH, "high"),
    set_to([[1]], "training", "paths"),
    set_to([[0, 0]], "training", "paths"),
    set_to([], "training", "paths"),
    set_to([3], "training", "unjudged"),
    set_to("float16", "training", "dtype"),
    set_to([], "training", "bounds"),
    set_to([[0, {"cost": 1.0, "gap": 0.1, "gradient_norm": 1.0}]], "training", "found"),
    array("theta_0", lambda a: a[:, 1:]),
    array("gradient_0", lambda a: a * np.inf),
    array("step_0_0", lambda a: 0 * a),
    array("change_0_0", lambda a: -a),
    array("change_0_0", lambda a: 1e200 * a),
    array("kept_W_0", lambda a: a.astype(np.float64)),
]
SWEEP = [
    set_to([], "about", "sweep"),
    set_to("x", "about", "sweep"),
    set_to(3, "about", "sweep", 0),
    set_to("x", "about", "sweep", 0, "l2"),
    set_to(BIG, "about", "sweep", 0, "training", "learning_rate"),
    set_to([1, BIG, 1], "about", "sweep", 0, "training", "class_weights"),
    set_to("\x1b[31m\nError: forged", "about", "sweep", 0, "output"),
    set_to("a\nError: forged", "about", "sweep", 0, "recorded", "numpy"),
    set_to(7, "about", "pass"),
    set_to("x", "about", "pass"),
    set_to(0, "about", "pass"),
    set_to(9, "about", "winner"),
    set_to(None, "about", "winner"),
    set_to({"cost": "x", "gap": 0, "gradient_norm": 0}, "about", "certificate"),
    set_to([], "about", "finished"),
    set_to(77, "about", "finished", 0, "index"),
    set_to(77, "about", "finished", 0, "best_epoch"),
    set_to([], "about", "finished", 0, "history"),
    set_to(1, "about", "finished", 0, "diverged"),
    array("winner_W", lambda W: W[:, :1]),
    array("winner_b", lambda b: b.astype(np.float64)),
]


@pytest.mark.parametrize(
    ("kind", "change"),
    [*(("descent", c) for c in DESCENT), *(("lbfgs", c) for c in LBFGS_STATE)],
)
def test_a_state_that_no_run_is_in_is_refused(refused, made, tmp_path, monkeypatch, kind, change):
    monkeypatch.chdir(tmp_path)
    write(made[kind], tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    path = tmp_path / FILE
    path.write_bytes(checkpoint_of(before[path], change))
    err = refused("train", "--resume", "--output", "run", words=[FILE])
    assert len(err) < 500
    del before[path]
    assert before == {p: p.read_bytes() for p in before}


@pytest.mark.parametrize("change", SWEEP)
def test_a_state_that_no_sweep_is_in_is_refused(refused, made, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    write(made["sweep"], tmp_path)
    path = tmp_path / FILE
    path.write_bytes(checkpoint_of(path.read_bytes(), change))
    err = refused("sweep", "--config", "c.yaml", "--output", "run", "--resume", *GRID)
    assert "run" in err
    assert len(err) < 500
    assert all(sign.isprintable() for sign in err[:-1])


@pytest.mark.parametrize("kind", ["descent", "lbfgs"])
def test_a_state_as_it_was_goes_on(run, made, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    write(made[kind], tmp_path)
    path = tmp_path / FILE
    path.write_bytes(checkpoint_of(path.read_bytes(), lambda tree, arrays: None))
    status, _, err = run("train", "--resume", "--output", "run")
    assert (status, err) == (0, "")


HUGE = "1" + 400 * "0"
LINE = {
    "epoch": 1, "seconds": 0.1, "learning_rate": 0.1, "train_loss": 1.0, "train_cost": 1.0,
    "train_accuracy": 0.5, "validation_loss": 1.0, "validation_accuracy": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("metrics.jsonl", json.dumps({**LINE, key: "V"})) for key in LINE),
        ("metrics.jsonl", json.dumps({**LINE, "validation_macro_f1": "V"})),
        ("metrics.jsonl", json.dumps({**LINE, "test_loss": 1.0})),
        ("metrics.jsonl", json.dumps({**LINE, "epoch": 2})),
        ("metrics.jsonl", json.dumps({**LINE, "validation_loss": None})),
        ("metrics.jsonl", json.dumps(LINE) + " " * 20_000),
        ("metrics.jsonl", "[" * 100_000),
        ("summary.json", "V"),
        ("summary.json", '{"kept_epoch": V, "train": null, "model_sha256": "x"}'),
        ("summary.json", "[" * 100_000),
        ("calibration.json", '{"temperature": V, "model_sha256": "x"}'),
        ("calibration.json", '{"temperature": true, "model_sha256": "x"}'),
        ("sweep.json", '[{"settings": {"l2": V}, "validation_accuracy": 0.5, "diverged": null}]'),
        ("sweep.json", '[{"settings": {"l2": 1}, "validation_accuracy": V, "diverged": null}]'),
        ("sweep.json", '[{"settings": {}, "validation_accuracy": 0.5, "diverged": null}]'),
        ("sweep.json", '{"a": 1}'),
    ],
)
def test_a_number_without_a_type_is_refused(refused, made, tmp_path, monkeypatch, name, text):
    """An integer of 400 digits is no float, and no number of an epoch."""
    monkeypatch.chdir(tmp_path)
    write(made["finished sweep"], tmp_path)
    (tmp_path / "run" / name).write_text(text.replace('"V"', HUGE).replace("V", HUGE))
    err = refused("report", "run", "--text", words=[name])
    assert len(err) < 500


def test_what_a_run_writes_is_accepted(run, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(made["finished sweep"], tmp_path)
    assert run("report", "run", "--text")[0] == 0
    for line in made["finished"]["run/metrics.jsonl"].splitlines():
        assert HistoryLine.model_validate(json.loads(line)).model_dump() == json.loads(line)
