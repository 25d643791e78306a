"""What a user can get wrong: one clear line, exit status 2, nothing written."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.parametrize("path", ["~a-user-who-is-not-there/run", "a\0b", "a" * 300, ""])
@pytest.mark.parametrize("given", ["option", "key"])
def test_an_output_that_cannot_be(refused, config, path, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = config()
    before = sorted(tmp_path.iterdir())
    if given == "key":
        refused("train", "--config", file, "--set", f"output={json.dumps(path)}")
    elif "\0" not in path:  # no argument of a process can hold one
        refused("train", "--config", file, "--output", path)
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_below_a_file_or_in_place_of_one(refused, config, tmp_path):
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "file", tmp_path / "file" / "run", "/dev/null/run", "/proc/run"):
        refused("train", "--config", config(), "--output", path, words=[str(path)])
    assert (tmp_path / "file").read_text() == "precious"


def test_an_output_that_cannot_be_written_is_told_before_any_training(refused, config, monkeypatch):
    from backprop_cli.solvers.descent import Descent

    monkeypatch.setattr(Descent, "run", lambda *_: pytest.fail("it trained"))
    refused("train", "--config", config(), "--output", "/dev/null/run")


@pytest.mark.parametrize("name", ["none", "", "a" * 300, "~a-user-who-is-not-there", "a\nb"])
def test_a_run_that_is_none(refused, name):
    refused("eval", name, words=["expected the folder of a run"])


def test_a_run_whose_files_are_broken(run, refused, config, tmp_path):
    file = config()
    assert run("train", "--config", file)[0] == 0
    folder = tmp_path / "run"
    assert run("eval", folder)[2] == ""
    (folder / "summary.json").unlink()
    status, _, err = run("eval", folder)
    assert (status, err) == (0, f"Note: {folder}: the run has not finished\n")
    content = (folder / "model.safetensors").read_bytes()
    for size in (0, 1, 8, 100, len(content) - 1):
        (folder / "model.safetensors").write_bytes(content[:size])
        refused("eval", folder, words=["model.safetensors"])
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.yaml").write_text("data: {")
    refused("eval", folder, words=[f"{folder}/config.yaml:1"])
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").mkdir()
    refused("eval", folder, words=["config.yaml"])


def test_eval_of_another_shape(run, refused, config, tmp_path):
    assert run("train", "--config", config())[0] == 0
    rng, labels = np.random.default_rng(1), np.arange(60) % 3
    np.savez(tmp_path / "e.npz", x=rng.standard_normal((60, 5)), y=labels)
    other = f"data.path={tmp_path}/e.npz"
    refused("eval", tmp_path / "run", "--set", other, words=["4 features", "found 5"])
    test = f"data.test={tmp_path}/e.npz"
    refused("eval", tmp_path / "run", "--set", test, words=["4 features", "5"])
    np.savez(tmp_path / "e.npz", x=rng.standard_normal((60, 4)), y=np.arange(60) % 6)
    refused("eval", tmp_path / "run", "--set", other, words=["row 3", "none of the 3 classes"])
    for split in ("validation", "test"):
        refused("eval", tmp_path / "run", "--split", split, "--set", f"data.{split}=0",
                words=[split])  # fmt: skip
    status, out, _ = run("eval", tmp_path / "run", "--split", "all")
    assert (status, out) == (2, "")


HUGE = "99999999999999999999"


@pytest.mark.parametrize(
    "override",
    [
        "training.schedule={kind: step, every: %s}",
        "training.schedule={kind: cyclical, half_cycle: %s}",
        "training.early_stopping={patience: %s}",
        "training.batch_size=%s",
        "training.seed=%s",
        "data.seed=%s",
        "data.limit=%s",
        "data.validation=%s",
        "data.test=%s",
        "l2=%s",
        "model.initial_std=%s",
        "training.learning_rate=%s",
        "training.class_weights=[%s, 1, 1]",
    ],
)
def test_a_huge_integer_is_used_or_refused_but_never_breaks(run, config, override):
    status, _, err = run("train", "--config", config(), "--set", override.replace("%s", HUGE))
    assert status in (0, 2, 3), err
    assert len(err.splitlines()) == (status != 0)


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29, 3 * 2**29))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))


def test_two_thousand_classes_need_no_gigabytes(config, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "backprop_cli", "train", "--config", str(config()),
         "--set", "data.classes=2000", "--json"],
        capture_output=True, text=True, check=False, preexec_fn=limited,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("count", [10**9, 10**19])
def test_more_classes_than_memory_holds_are_refused(config, count):
    """In a process of its own, which may not take the machine's memory along."""
    done = subprocess.run(
        [sys.executable, "-m", "backprop_cli", "train", "--config", str(config()),
         "--set", f"data.classes={count}"],
        capture_output=True, text=True, check=False, preexec_fn=limited,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "data.classes" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "override",
    [
        "l2=1e300", "model.initial_std=1e300", "training.class_weights=[1e300, 1, 1]",
        "training.learning_rate=1e300", "l2=1e-320", "training.learning_rate=1e-320",
        "training.schedule={kind: cosine, minimum: 1e-320}", "label_smoothing=1e-320",
        "training.momentum=0.9999999999999999", "label_smoothing=0.9999999999999999",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_extreme_number_is_used_or_refused_without_a_warning(run, config, override, dtype):
    """A warning on stderr would be a second line; here it is an error."""
    status, _, err = run(
        "train", "--config", config(), "--set", override, "--set", f"model.dtype={dtype}"
    )
    assert status in (0, 2, 3), err
    assert len(err.splitlines()) == (status != 0)


@pytest.mark.parametrize("rate", ["1e20", "1e38"])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "multiclass_svm"])
def test_diverging_in_the_very_last_step_is_diverging(run, config, rate, loss, tmp_path):
    """One step, whose loss is that of the starting point: what it leads to counts too."""
    status, out, err = run(
        "train", "--config", config(), "--set", "training={epochs: 1, batch_size: 100}",
        "--set", f"training.learning_rate={rate}", "--set", f"loss={loss}", "--json",
    )  # fmt: skip
    if status == 0:  # every figure is finite, and the model can be used
        found = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert np.isfinite([found["test"]["loss"], found["validation"]["loss"]]).all()
        assert run("eval", tmp_path / "run")[0] == 0
    else:
        assert (status, out) == (3, "")
        assert err.startswith("Error: training diverged")
        assert len(err.splitlines()) == 1


def test_divergence_is_exit_3_and_keeps_the_epochs_before(run, config, tmp_path):
    status, out, err = run(
        "train", "--config", config(), "--set", "training.learning_rate=1e30", "--set", "l2=1",
        "--set", "training.epochs=50",
    )  # fmt: skip
    assert (status, out) == (3, "")
    assert err.startswith("Error: training diverged")
    assert len(err.splitlines()) == 1


def test_every_problem_of_a_config_is_a_line(run, config):
    status, out, err = run(
        "train", "--config", config("los: 3\nl2: -1\n"), "--set", "training.epoch=3"
    )
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Error: ") for line in lines)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.outputs=1", ["model.outputs"]),
        ("training.class_weights=[1, 2]", ["training.class_weights", "3"]),
        ("training.horizontal_flips=true", ["training.horizontal_flips", "images"]),
        ("data.standardize=per_channel", ["data.standardize", "images"]),
        ("data.classes=2", ["labels from 0 to 2", "2 classes"]),
        ("data.classes=[a, b]", ["labels from 0 to 2", "2 classes"]),
        ("data.labels=x.npy", ["data.labels"]),
        ("data.test=none.npz", ["none.npz"]),
        ("data.validation=none.npz", ["none.npz"]),
    ],
)
@pytest.mark.parametrize("command", ["train", "gradcheck"])
def test_a_config_that_does_not_suit_the_data(refused, config, command, override, words):
    refused(command, "--config", config(), "--set", override, words=words)


@pytest.mark.parametrize(
    "args",
    [
        ["train"], ["eval"], ["gradcheck"], ["nonsense"], ["--nonsense"], ["train", "extra"],
        ["train", "--config"], ["train", "--config", "c", "--set"], ["eval", "a", "b"],
        ["eval", "a", "--split", "x"], ["gradcheck", "--config", "c", "--samples", "0"],
        ["gradcheck", "--config", "c", "--samples", "x"],
        ["gradcheck", "--config", "c", "--examples", "-1"], ["train", "--conf"],
    ],
)  # fmt: skip
def test_bad_usage_is_exit_2(run, args):
    status, out, err = run(*args)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("Error: ")


def test_a_misspelt_command_is_told_which_was_meant(run):
    assert (
        run("trian")[2].splitlines()[-1] == "Error: No such command 'trian'. Did you mean 'train'?"
    )
