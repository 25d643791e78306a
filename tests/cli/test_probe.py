"""``backprop probe``: the whole way from two files to a run directory, and what it refuses."""

import json
import pathlib

import numpy as np
import pytest
from safetensors.numpy import load_file

from backprop_cli.cli.progress import ProgressBar
from backprop_cli.config import load_config
from backprop_cli.formats import load_dataset
from backprop_cli.runs.session import Session


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return a function that writes features and labels, and returns their names."""
    monkeypatch.chdir(tmp_path)

    def write(n=240, d=6, n_classes=3, scale=1.0, labels=None, name=""):
        rng = np.random.default_rng(n + d)
        y = np.arange(n) % n_classes if labels is None else np.asarray(labels)
        centres = np.random.default_rng(1).standard_normal((n_classes, d))
        x = scale * (rng.standard_normal((len(y), d)) + centres[np.arange(len(y)) % n_classes])
        np.save(f"x{name}.npy", x)
        np.save(f"y{name}.npy", y)
        return f"x{name}.npy", f"y{name}.npy"

    return write


@pytest.fixture
def probe(run):
    """Return a function that runs the command and returns its JSON."""

    def command(*args):
        status, out, err = run("probe", *args, "--json", "--set", "compute.threads=1")
        assert (status, err) == (0, ""), err
        return json.loads(out)

    return command


def test_the_config_reproduces_the_winner(files, probe, run, tmp_path):
    found = probe(*files())
    folder = tmp_path / "runs" / "probe"
    config = load_config(folder / "config.yaml")
    assert config.l2 == found["settings"]["l2"] == found["models"][0]["settings"]["l2"]
    assert config.data.stratified
    assert found["first_part"] is None
    assert found["winner"]["validation"]["examples"] == found["winner"]["test"]["examples"] == 48
    assert found["winner"]["train"]["relative_gap"] <= 1e-6
    status, _, _ = run("train", "--config", folder / "config.yaml", "--output", "again")
    assert status == 0
    for name, array in load_file(folder / "model.safetensors").items():
        np.testing.assert_array_equal(array, load_file("again/model.safetensors")[name])
    assert json.loads((folder / "sweep.json").read_text()) == found["models"]
    assert run("report", folder, "--text")[0] == 0


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_the_features_does_not_matter(files, probe, scale):
    first = probe(*files(), "--output", "first")
    second = probe(*files(scale=scale), "--output", "second")
    assert second["settings"] == first["settings"]
    assert second["winner"]["test"]["accuracy"] == first["winner"]["test"]["accuracy"]


@pytest.mark.parametrize(("scale", "factor"), [(1e-3, 1e-6), (1e3, 1e6)])
def test_the_grid_goes_with_features_that_are_not_standardized(files, probe, scale, factor):
    """c x has the optimum W / c where l2 is c^2 times as large."""
    plain = ("--set", "data.standardize=none")
    first = probe(*files(), *plain, "--output", "first")
    second = probe(*files(scale=scale), *plain, "--output", "second")
    assert second["settings"]["l2"] == pytest.approx(factor * first["settings"]["l2"], rel=1e-3)
    assert second["winner"]["test"]["accuracy"] == first["winner"]["test"]["accuracy"]


def test_what_is_printed(files, run):
    status, out, _ = run("probe", *files())
    assert status == 0
    lines = out.splitlines()
    for start in ("validation: 48 examples", "test: 48 examples", "winner      l2 ", "training    ",
                  "report      backprop report runs/probe"):  # fmt: skip
        assert any(line.startswith(start) for line in lines), start
    assert sum(line.startswith("accuracy") and "to" in line for line in lines) == 2
    assert not any(line.startswith("splits") for line in lines)
    assert any("stops at a gap of about 0.001 of the cost, the winner's training at 1e-06" in line
               for line in lines)  # fmt: skip
    assert "epoch" not in lines[1]


def test_the_command_for_the_report_can_be_pasted(files, run):
    out = run("probe", *files(), "--output", "a folder")[1]
    assert "report      backprop report 'a folder'" in out.splitlines()


def test_two_classes_have_an_auc(files, probe):
    test = probe(*files(n_classes=2))["winner"]["test"]
    assert 0.5 < test["auc"] <= 1
    assert len(test["intervals"]["auc"]) == 2


def test_an_archive_has_its_labels(files, probe):
    x, y = files()
    np.savez("both.npz", x=np.load(x), y=np.load(y))
    assert probe("both.npz", "--output", "a")["models"] == probe(x, y, "--output", "b")["models"]


def test_a_test_file_is_all_that_is_tested_on(files, probe):
    x, y = files(n=90, name="-test")
    found = probe(*files(), "--test", x, "--test-labels", y)
    assert found["winner"]["test"]["examples"] == 90
    assert found["winner"]["validation"]["examples"] == 48


def test_refit_trains_on_validation_as_well(files, probe, tmp_path):
    names = files()
    plain, refit = probe(*names, "--output", "plain"), probe(*names, "--refit", "--output", "refit")
    assert refit["models"] == plain["models"]
    assert refit["winner"]["validation"] is None
    before, after = (
        load_dataset(load_config(tmp_path / name / "config.yaml").data)
        for name in ("plain", "refit")
    )
    joined = np.union1d(before.train.rows, before.validation.rows)
    np.testing.assert_array_equal(after.train.rows, joined)
    np.testing.assert_array_equal(after.test.rows, before.test.rows)


def test_seeds_are_splits(files, probe):
    names = files()
    found = probe(*names, "--seeds", 3)
    alone = [
        probe(*names, "--set", f"data.seed={seed}", "--output", f"alone{seed}") for seed in range(3)
    ]
    expected = [one["winner"]["test"]["accuracy"] for one in alone]
    assert found["test_accuracies"] == expected
    assert found["test_accuracy_mean"] == pytest.approx(np.mean(expected))
    assert found["test_accuracy_std"] == pytest.approx(np.std(expected, ddof=1))


def test_folds_choose_by_the_mean(files, probe, tmp_path):
    found = probe(*files(), "--folds", 4)
    data = load_dataset(load_config(tmp_path / "runs" / "probe" / "config.yaml").data)
    assert data.validation is None
    assert (len(data.train), len(data.test)) == (192, 48)
    for model in found["models"]:  # a mean over four folds of 48 examples
        right = 192 * model["validation_accuracy"]
        assert right == pytest.approx(round(right), abs=1e-9)


def test_labels_of_a_column(files, probe):
    x, y = files()
    lines = [f"{k},{'abc'[label]}" for k, label in enumerate(np.load(y))]
    pathlib.Path("labels.csv").write_text("\n".join(["row,species", *lines]), "utf-8")
    found = probe(x, "labels.csv", "--labels-column", "species")
    assert found["winner"]["test"]["examples"] == 48


def test_no_group_is_in_two_splits(files, probe, tmp_path):
    groups = np.repeat(np.arange(60), 4)
    np.save("groups.npy", groups)
    names = files()
    probe(*names, "--groups", "groups.npy")
    data = load_dataset(load_config(tmp_path / "runs" / "probe" / "config.yaml").data)
    own = [set(groups[split.rows]) for split in data.splits()]
    assert sum(map(len, own)) == len(set.union(*own)) == 60
    probe(*names, "--groups", "groups.npy", "--folds", 3, "--output", "folds")


def test_a_class_with_a_single_example(files, probe):
    labels = np.arange(240) % 3
    labels[7] = 3
    found = probe(*files(labels=labels))
    notes = [note for note in found["notes"] if "classes have no" in note]
    assert len(notes) == 2  # two of the three splits lack it
    assert all(note.startswith("1 of 4 classes") and note.endswith(": 3") for note in notes)


def test_features_that_are_all_the_same(files, probe):
    """There is nothing to learn: the model begins where it ends."""
    x, y = files(n=300)
    np.save(x, np.ones((300, 6)))
    found = probe(x, y)
    assert found["winner"]["test"]["accuracy"] == pytest.approx(1 / 3)
    assert any("features of all training examples are the same" in n for n in found["notes"])


def test_more_features_than_examples(files, probe):
    assert probe(*files(n=60, d=300))["winner"]["test"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--set", "l2=1"), ["a probe chooses l2"]),
        (("--set", "data.path=z.npy"), ["--set data.path", "x.npy", "remove one"]),
        (("--set", "data.validation=0"), ["data.validation"]),
        (("--set", "data.test=0", "--seeds", 2), ["--seeds"]),
        (("--set", "training.epoch=2"), ["training.epoch", "epochs"]),
        (("--set", "loss=multiclass_svm"), ["training.solver"]),
        (("--set", "data.validation=x.npy", "--refit"), ["--refit", "FEATURES"]),
        (("--output", "/dev/null/run"), ["/dev/null/run"]),
        (("--labels-column", "species"), ["labels_column"]),
        (("--groups", "missing.npy"), ["missing.npy"]),
    ],
)
def test_what_is_refused(files, refused, more, words):
    refused("probe", *files(), *more, words=words)


def test_a_folder_with_a_run_is_refused(files, probe, refused):
    names = files()
    probe(*names)
    refused("probe", *names, words=["holds a run that has finished", "--output"])


def test_too_few_groups_for_the_folds(files, refused):
    np.save("groups.npy", np.repeat(np.arange(4), 60))
    refused(
        "probe", *files(), "--groups", "groups.npy", "--folds", 5, words=["--folds 5", "found 3"]
    )


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (("x.npy",), "LABELS"),
        (("x.npy", "y.npy", "--test", "x.npy"), "--test-labels"),
        (("x.npy", "y.npy", "--test-labels", "y.npy"), "--test,"),
    ],
)
def test_files_that_do_not_go_together(files, run, args, word):
    files()
    status, out, err = run("probe", *args)
    assert (status, out) == (2, "")
    assert word in err.splitlines()[-1]


@pytest.mark.parametrize("protocol", [("--refit",), ("--folds", 3)])
def test_without_a_validation_split_there_is_no_calibration(files, probe, refused, protocol):
    probe(*files(), *protocol)
    refused("calibrate", "runs/probe", words=["no validation examples", "--refit", "--folds"])


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ((), ["3 random splits, standard deviation"]),
        (("--test",), ["3 random validation splits", "(l2", "test examples are the same"]),
        (("--test", "--refit"), ["3 random validation", "training and test examples are"]),
        (("--test", "--folds", 3), ["3 random divisions", "training and test examples are"]),
    ],
)
def test_what_varies_between_splits_is_said(files, run, protocol, words):
    names = files()
    more = [a for arg in protocol for a in ((arg, "t.npz") if arg == "--test" else (arg,))]
    x, y = (np.load(name) for name in files(n=90, name="-t"))
    np.savez("t.npz", x=x, y=y)
    status, out, err = run("probe", *names, *more, "--seeds", 3)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    at = next(k for k, line in enumerate(lines) if line.startswith("splits"))
    text = " ".join(" ".join(lines[at : at + 4]).split())
    assert all(word in text for word in words), text
    assert "(l2 " in text
    if "deviation 0.00" in text:  # it is a chance, and not the same model each time
        assert "training and test" not in text or " to " in text


def test_splits_that_cannot_differ_are_refused(files, refused):
    x, y = (np.load(name) for name in files())
    np.savez("t.npz", x=x, y=y)
    np.savez("v.npz", x=x + 1, y=y)
    more = ("--test", "t.npz", "--set", "data.validation=v.npz", "--seeds", 2)
    refused("probe", "x.npy", "y.npy", *more, words=["--seeds", "nothing is drawn at random"])


def test_a_table_of_means_over_folds_has_no_epochs(files, run):
    out = run("probe", *files(), "--folds", 3)[1].splitlines()
    assert out[1].split() == ["l2", "validation", "loss"]


def test_an_interrupted_search_leaves_nothing(files, run, monkeypatch, tmp_path):
    def stop(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "epoch", stop)
    status, out, err = run("probe", *files(), "--output", "new/folder")
    assert (status, out) == (130, "")
    assert err == "Interrupted. The same command starts over.\n"
    assert not (tmp_path / "new").exists()


def test_an_interrupted_training_of_the_winner_can_go_on(files, run, monkeypatch, tmp_path):
    train = Session.train

    def stop(self, training, *more):
        monkeypatch.setattr(ProgressBar, "epoch", interrupt)
        train(self, training, *more)

    def interrupt(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "train", stop)
    status, _, err = run("probe", *files())
    assert status == 130
    how = "backprop train --resume --output runs/probe"
    assert err == f"Interrupted after 1 pass. To go on: {how}\n"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert run("train", "--resume", "--output", "runs/probe")[0] == 0
