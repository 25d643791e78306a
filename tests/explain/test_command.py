"""`explain` of a run and of a step of its training, and options that would have no effect."""

import json

import pytest

from tests.explain import test_outputs

explain = test_outputs.explain


def test_a_run_and_a_step_of_its_training(run, explain, tmp_path):
    explain("softmax")
    config, folder = tmp_path / "config.yaml", tmp_path / "run"
    more = ("--set", "training.epochs=2", "--set", "training.keep=last")
    assert run("train", "--config", config, *more, "--output", folder)[0] == 0

    def loss(*args):
        status, out, err = run("explain", *args, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)["result"]["loss"]

    steps = 2 * 2  # two epochs of 200 examples, by 100
    assert loss(folder) == pytest.approx(loss(folder, "--step", steps), rel=1e-5)
    assert loss(folder, "--step", 0) == loss("--config", config)
    assert loss(folder, "--step", 1) not in (loss(folder), loss(folder, "--step", 0))
    assert f"the weights of {folder}" in " ".join(run("explain", folder)[1].split())
    status, out, err = run("explain", folder, "--step", 1000)
    assert (status, out) == (2, "")
    assert "training makes 4 updates" in err


def test_lbfgs_has_no_steps(run, explain, tmp_path):
    """Descent by mini-batches is another training: its weights are not shown for L-BFGS's."""
    explain("softmax")
    config, folder = tmp_path / "config.yaml", tmp_path / "run"
    lbfgs = ("--set", "training.solver=lbfgs")
    assert run("train", "--config", config, *lbfgs, "--output", folder)[0] == 0
    assert run("explain", folder)[0] == 0
    for what in ((folder,), ("--config", config, *lbfgs)):
        status, out, err = run("explain", *what, "--step", 1)
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert "trains by L-BFGS" in err
    status, out, err = run("lr-range", "--config", config, *lbfgs)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "lr-range: this config trains by L-BFGS" in err


def test_a_run_that_stopped_early_has_no_steps_beyond(run, explain, tmp_path):
    explain("softmax")
    more = ("training.epochs=30", "training.learning_rate=1", "training.early_stopping.patience=1")
    sets = [word for text in more for word in ("--set", text)]
    args = ("--config", tmp_path / "config.yaml", *sets, "--output", tmp_path / "run")
    assert run("train", *args)[0] == 0
    made = 2 * len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert made < 2 * 30
    assert run("explain", tmp_path / "run", "--step", made)[0] == 0
    status, out, err = run("explain", tmp_path / "run", "--step", made + 1)
    assert (status, out) == (2, "")
    assert f"training makes {made} updates" in err


def test_a_training_that_diverges_has_no_weights_to_show(explain):
    rate = ("--set", "training.learning_rate=1e30", "--set", "l2=1")
    status, out, err = explain("softmax", *rate, "--step", 20)
    assert (status, out) == (2, "")
    assert "--step 20: training has diverged by then" in err


def test_an_unfinished_run_has_a_note(run, explain, tmp_path):
    explain("softmax")
    folder = tmp_path / "run"
    args = ("--config", tmp_path / "config.yaml", "--output", folder)
    assert run("train", *args, "--set", "training.epochs=1")[0] == 0
    assert run("explain", folder)[2] == run("gradcheck", folder, "--samples", 3)[2] == ""
    (folder / "summary.json").unlink()
    for command in (("explain",), ("gradcheck", "--samples", 3)):
        status, out, err = run(*command, folder)
        assert (status, err) == (0, f"Note: {folder}: the run has not finished\n")
        assert out


EXPRESSION = ("--expression", "sin(x)", "--at", "x=1")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((*EXPRESSION, "--step", 3), "--step is for a config or a RUN"),
        ((*EXPRESSION, "--set", "l2=1"), "--set is for a config or a RUN"),
        ((*EXPRESSION, "--example", 0), "--example is for a config or a RUN"),
        ((*EXPRESSION, "--examples", 2), "--examples is for a config or a RUN"),
        (("--graph", "g.json", "--at", "x=1"), "--at is for --expression"),
        (("--graph", "g.json", "--step", 1), "--step is for a config or a RUN"),
        (("--config", "c.yaml", "--seed", 1), "--seed is for --expression"),
        (("--config", "c.yaml", *EXPRESSION), "expected one of RUN, --config, --expression"),
    ],
)
def test_an_option_without_effect_is_refused(run, args, words):
    status, out, err = run("explain", *args)
    assert (status, out) == (2, "")
    assert words in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--all", "--samples", 3), "--samples has no effect with --all"),
        (("--template", "t.py", "--config", "c.yaml"), "--config has no effect with --template"),
    ],
)
def test_an_option_of_gradcheck_without_effect_is_refused(run, args, words):
    status, out, err = run("gradcheck", *args)
    assert (status, out) == (2, "")
    assert words in err.splitlines()[-1]
