"""Usual mistakes: one line that says what to do."""

import numpy as np
import pytest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {format: synthetic}\nlr: 0.1\n", "did you mean 'training.learning_rate'?"),
        ("data: {format: synthetic}\nepochs: 3\n", "did you mean 'training.epochs'?"),
        ("data: {format: synthetic}\ntraining: {lr: 1}\n", "did you mean 'learning_rate'?"),
        ("data: {format: synthetic}\nloss: softmax\n", "did you mean 'softmax_cross_entropy'?"),
        ("data: {format: synthetic}\nloss: svm\n", "did you mean 'multiclass_svm'?"),
        ("data: {format: synthetic}\nl2: 0,01\n", "found '0,01'; write 0.01"),
        ("data: {format: synthetic}\ntraining: {learning_rate: 0,01}\n", "takes a decimal point"),
    ],
)
def test_a_config(run, tmp_path, text, words):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    status, out, err = run("train", "--config", path)
    assert (status, out) == (2, "")
    assert words in err


def test_utf_16(refused, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes("data: {format: synthetic}\n".encode("utf-16"))
    refused("train", "--config", path, words=("found UTF-16; save it as UTF-8",))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("train", "--epochs", 10), "Write --set training.epochs=VALUE."),
        (("train", "--lr=0.1"), "Write --set training.learning_rate=VALUE."),
        (("sweep", "--batch-size", 3), "Write --set training.batch_size=VALUE."),
        (("train", "base.yaml"), "Write --config base.yaml."),
        (("train", "--outptu", "x"), "Did you mean '--output'?"),
        (("gradcheck", "a", "b.yaml"), "Write --config b.yaml."),
    ],
)
def test_a_command_line(run, args, words):
    status, out, err = run(*args)
    assert (status, out) == (2, "")
    assert words in err


def test_a_run_or_a_config_in_the_wrong_place(run, refused, config, tmp_path):
    path = config()
    assert run("train", "--config", path)[0] == 0
    assert f"Write --config {tmp_path}/run/config.yaml." in run("train", tmp_path / "run")[2]
    refused("gradcheck", path, words=(f"write --config {path}",))


def test_data_that_is_not_there(refused, tmp_path):
    path = tmp_path / "c.yaml"
    folder = tmp_path / "data" / "cifar-10-batches-py"
    path.write_text(f"data: {{format: cifar10, path: '{folder}'}}\n")
    refused("train", "--config", path, words=("backprop data download cifar10 gets it",))
    elsewhere = ("--set", f"data.path={tmp_path}/images")
    refused("train", "--config", path, *elsewhere, words=("backprop data download NAME",))
    folder.parent.mkdir()
    packed = folder.parent / "cifar-10-python.tar.gz"
    packed.touch()
    refused("train", "--config", path, words=(f"unpack it: tar -xf {packed} -C {folder.parent}",))
    args = ("train", "--config", path, "--set", f"data.path={packed}")
    refused(*args, words=("found a file; unpack it",))
    folder.mkdir()
    (folder / "test_batch").touch()
    args = ("train", "--config", path, "--set", f"data.path={folder.parent}")
    refused(*args, words=(f"did you mean data.path: {folder}?",))


def test_a_batch_larger_than_the_data(run, config):
    status, out, err = run("train", "--config", config(), "--set", "training.batch_size=5000")
    assert (status, err) == (0, "")
    assert "batch_size is 5000, but there are 36 training examples" in out


def test_a_full_disk_says_how_to_resume(run, config, tmp_path, monkeypatch):
    from backprop_cli.errors import OutputError
    from backprop_cli.runs.run_directory import RunDirectory

    def full(self, *args):
        why = OSError(28, "No space left on device")
        raise OutputError(f"model.safetensors: cannot write: {why.strerror}") from why

    path = config()
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "save", full)
        status, out, err = run("train", "--config", path)
    assert (status, out) == (2, "")
    assert "No space left on device" in err
    assert f"go on: backprop train --resume --output {tmp_path}/run" in err
    assert run("train", "--resume", "--output", tmp_path / "run")[0] == 0


def test_an_svm_has_scores_and_no_probabilities(run, config, tmp_path):
    path = config("loss: multiclass_svm\n")
    assert run("train", "--config", path)[0] == 0
    x = np.random.default_rng(1).standard_normal((3, 4))
    np.save(tmp_path / "new.npy", x)
    folder = tmp_path / "run"
    status, out, err = run("predict", folder, "--input", tmp_path / "new.npy")
    assert (status, err) == (0, "")
    assert "score" in out
    assert "%" not in out
    status, out, err = run("predict", folder, "--input", tmp_path / "new.npy", "--json")
    assert status == 0
    assert "not trained to be probabilities" in err
    assert run("calibrate", folder)[0] == 0
    status, out, err = run("predict", folder, "--input", tmp_path / "new.npy")
    assert (status, err, "%" in out) == (0, "", True)


def test_a_folder_that_holds_a_run_is_not_resumed_by_mistake(run, config):
    path = config()
    assert run("train", "--config", path)[0] == 0
    assert "go on: backprop train" not in run("train", "--config", path)[2]


def test_what_predict_cannot_read(run, refused, config, tmp_path):
    """As train says it; a folder and a pattern of files too."""
    assert run("train", "--config", config())[0] == 0
    folder = tmp_path / "shards"
    folder.mkdir()
    x = np.random.default_rng(0).standard_normal((7, 4))
    for k in range(2):
        np.save(folder / f"x{k}.npy", x)
    (tmp_path / "m.pt").write_bytes(b"\x80\x04\x95\x85")
    (tmp_path / "f.csv").write_text("1,2,3,4\n")
    (tmp_path / "g.csv").write_text("a,b,c,d\n1,2,3,4\n")
    for name, word in (
        ("m.pt", "pickle"), ("f.csv", "delimiter=',', dtype="),
        ("g.csv", "delimiter=',', skiprows=1, dtype="), ("shards", "found a folder"),
    ):  # fmt: skip
        refused("predict", tmp_path / "run", "--input", tmp_path / name, words=(name, word))
    status, out, err = run("predict", tmp_path / "run", "--input", folder / "x*.npy")
    assert (status, err) == (0, "")
    assert out.count("\n") == 14


def test_predict_reads_whole_what_cannot_be_read_in_blocks(run, config, tmp_path):
    """The memory of the run, 1 kB, is of no use then."""
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((100, 4)))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "rows.npy", np.ascontiguousarray(x))
    np.save(tmp_path / "y.npy", np.arange(100) % 3)
    sets = [f"data.path={tmp_path}/rows.npy", f"data.labels={tmp_path}/y.npy", "data.memory=1 kB"]
    pairs = [word for own in sets for word in ("--set", own)]
    assert run("train", "--config", config(), *pairs)[0] == 0
    status, out, err = run("predict", tmp_path / "run", "--input", tmp_path / "x.npy")
    assert (status, err) == (0, "")
    assert out.count("\n") == 100
