"""Sweeps: every setting is trained as if alone, the best on validation wins, the rest is kept."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from backprop_cli.errors import ConfigError
from backprop_cli.runs.settings import combinations, draws
from backprop_cli.solvers.training import Training
from tests.command import call

CONFIG = """\
data: {format: synthetic, examples: 900, size: 6, validation: 200, test: 200}
model: {dtype: float64}
training: {epochs: 3, batch_size: 64, learning_rate: 1e-3, momentum: 0, schedule: {kind: constant}}
"""


@pytest.fixture
def run(run, tmp_path):
    """Return a function that runs a command on the config."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)

    return lambda name, *args: run(name, "--config", path, *args)


def test_combinations():
    found = combinations({"l2": [0, 1], "loss": ["a", "b"]})
    assert found == [
        {"l2": 0, "loss": "a"}, {"l2": 0, "loss": "b"},
        {"l2": 1, "loss": "a"}, {"l2": 1, "loss": "b"},
    ]  # fmt: skip


def test_draws_are_even_in_the_logarithm():
    found = draws({"l2": [0, 1]}, {"rate": (1e-4, 1.0)}, 4000, np.random.default_rng(0))
    logarithms = np.log10([setting["rate"] for setting in found])
    assert -4 <= logarithms.min() < logarithms.max() <= 0
    shares = np.histogram(logarithms, 4, (-4, 0))[0] / 4000
    np.testing.assert_allclose(shares, 0.25, atol=0.04)  # six standard deviations
    assert {setting["l2"] for setting in found} == {0, 1}


def test_nothing_is_drawn_twice_without_a_range():
    grids: dict[str, list[Any]] = {"l2": [0, 1, 2], "loss": ["a", "b"]}
    found = draws(grids, {}, 6, np.random.default_rng(0))
    assert found != combinations(grids)
    assert sorted(found, key=str) == sorted(combinations(grids), key=str)


def test_drawing_needs_no_list_of_all_combinations():
    grids = {key: list(range(1000)) for key in "abcdefgh"}
    assert len(draws(grids, {}, 3, np.random.default_rng(0))) == 3
    with pytest.raises(ConfigError, match="--sample N draws some"):
        combinations(grids)


GRIDS = ("--grid", "training.learning_rate=1e-3,0.05", "--grid",
         "loss=softmax_cross_entropy,multiclass_svm", "--grid", "training.seed=1,2",
         "--grid", "training.momentum=0,0.5")  # fmt: skip


def test_each_model_is_the_one_that_train_gives(run, tmp_path):
    status, out, err = run("sweep", *GRIDS, "--output", tmp_path / "sweep", "--json")
    assert (status, err) == (0, "")
    models = json.loads(out)["models"]
    assert len(models) == 16
    accuracies = [model["validation_accuracy"] for model in models]
    assert accuracies == sorted(accuracies, reverse=True)
    for place in (0, 7, 15):
        settings = [f"--set={k}={v}" for k, v in models[place]["settings"].items()]
        status, out, _ = run("train", *settings, "--output", tmp_path / f"alone{place}", "--json")
        assert status == 0
        found = json.loads(out)
        assert found["validation"]["accuracy"] == models[place]["validation_accuracy"]
        assert found["kept_epoch"] == models[place]["best_epoch"]
        assert found["validation"]["loss"] == pytest.approx(
            models[place]["validation_loss"], rel=1e-10
        )
    winner, alone = (
        load_file(tmp_path / name / "model.safetensors") for name in ("sweep", "alone0")
    )
    np.testing.assert_allclose(winner["weights"], alone["weights"], rtol=1e-9, atol=1e-12)
    configs = [(tmp_path / n / "config.yaml").read_text() for n in ("sweep", "alone0")]
    assert configs[0].replace("sweep", "alone0") == configs[1]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_best_of_what_is_kept_wins(run, tmp_path, keep):
    """Wherever it stands in the grid; with keep: last, an epoch that was better is forgotten."""
    rates = (1e-6, 1, 0.03, 1e-5)
    common = (f"--set=training.keep={keep}", "--set=training.epochs=8")
    found = []
    for k, rate in enumerate(rates):
        _, out, _ = run("train", *common, f"--set=training.learning_rate={rate}", "--json",
                        "--output", tmp_path / f"alone{k}")  # fmt: skip
        figures = json.loads(out)["validation"]
        found.append((-figures["accuracy"], figures["loss"], k))
    order = [rates[k] for *_, k in sorted(found)]
    assert order[0] == {"best": 1, "last": 0.03}[keep]  # or nothing would be shown
    grid = "training.learning_rate=" + ",".join(map(str, rates))
    _, out, _ = run("sweep", *common, "--grid", grid, "--json", "--output", tmp_path / "sweep")
    table = json.loads(out)
    assert [m["settings"]["training.learning_rate"] for m in table["models"]] == order
    assert [-m["validation_accuracy"] for m in table["models"]] == [a for a, *_ in sorted(found)]
    assert table["winner"]["validation"]["accuracy"] == -min(found)[0]
    winner, alone = (
        load_file(tmp_path / name / "model.safetensors")["weights"]
        for name in ("sweep", f"alone{min(found)[2]}")
    )
    np.testing.assert_allclose(winner, alone, rtol=1e-9, atol=1e-12)


def test_of_equal_models_the_first_that_was_asked_for_wins(run, tmp_path):
    """The two losses are trained in another order."""
    _, out, _ = run(
        "sweep", "--grid", "loss=softmax_cross_entropy,multiclass_svm", "--set",
        "training.learning_rate=1e-30", "--output", tmp_path / "sweep", "--json",
    )  # fmt: skip
    first, second = json.loads(out)["models"]
    assert first["validation_accuracy"] == second["validation_accuracy"]
    assert first["settings"] == {"loss": "softmax_cross_entropy"}


def test_a_model_that_diverges_late_does_not_win(run, tmp_path):
    """Its rate grows: good epochs first, then none; the other one's rate is next to nothing."""
    common = ("sweep", "--set", "l2=10", "--set", "training.epochs=60", "--set",
              "training.schedule={kind: cyclical, minimum: 1e-9, half_cycle: 1000}")  # fmt: skip
    status, _, err = run(
        *common, "--grid", "training.learning_rate=2,3", "--output", tmp_path / "none"
    )
    assert (status, "every model of the sweep diverged" in err) == (3, True)
    _, out, _ = run(
        *common, "--grid", "training.learning_rate=2,1e-8", "--output", tmp_path / "sweep",
        "--json",
    )  # fmt: skip
    first, second = json.loads(out)["models"]
    assert second["diverged"]
    assert second["validation_accuracy"] > first["validation_accuracy"]
    summary = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert summary["validation"]["accuracy"] == first["validation_accuracy"]


def test_the_winners_folder_is_an_ordinary_run_with_the_table_beside_it(run, tmp_path):
    run("sweep", *GRIDS, "--output", tmp_path / "sweep")
    names = sorted(p.name for p in (tmp_path / "sweep").iterdir())
    assert names == [
        "config.yaml", "metrics.jsonl", "model.safetensors", "summary.json", "sweep.json",
        "sweep.jsonl",
    ]  # fmt: skip
    table = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert len(table) == 16
    history = (tmp_path / "sweep" / "sweep.jsonl").read_text().splitlines()
    assert len(history) == 16 * 3
    own = [json.loads(line) for line in history if json.loads(line)["model"] == 0]
    ordinary = (tmp_path / "sweep" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in ordinary] == [
        {k: v for k, v in line.items() if k != "model"} for line in own
    ]


def test_a_diverged_model_is_dropped_and_the_others_go_on(run, tmp_path):
    status, out, err = run(
        "sweep", "--set", "l2=10", "--grid", "training.learning_rate=1e-3,1e10",
        "--set", "training.epochs=60", "--output", tmp_path / "sweep", "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    first, second = json.loads(out)["models"]
    assert first["diverged"] is None
    assert second["settings"] == {"training.learning_rate": 1e10}
    assert "training diverged" in second["diverged"]
    status, out, err = run(
        "train", "--set", "l2=10", "--set", "training.epochs=60", "--output", tmp_path / "alone",
        "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert json.loads(out)["validation"]["loss"] == pytest.approx(
        first["validation_loss"], rel=1e-10
    )


def test_all_diverged_is_exit_3(run, tmp_path):
    status, out, err = run(
        "sweep", "--set", "l2=10", "--grid", "training.learning_rate=1e9,1e10",
        "--set", "training.epochs=60", "--output", tmp_path / "sweep",
    )  # fmt: skip
    assert (status, out) == (3, "")
    assert err.startswith("Error: every model of the sweep diverged")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "needs --grid"),
        (("--grid", "l2"), "expected KEY=V1,V2"),
        (("--grid", "l2="), "expected values, found none"),
        (("--grid", "l2=0,,1"), "expected a value before each comma"),
        (("--grid", "l2=,1"), "expected a value before each comma"),
        (("--grid", "training.batch_size=1,2"), "cannot be swept"),
        (("--grid", "learning_rate=1,2"), "expected one of training.learning_rate, l2,"),
        (("--grid", "l2=1", "--grid", "l2=2"), "given twice"),
        (("--grid", "l2=1,2,1"), "1 is given twice"),
        (("--grid", "l2=1,2", "--sample", "3"), "--sample 3: expected at most 2"),
        (("--grid", "l2=-1,1"), "sweep of l2=-1: l2: expected a number >= 0.0, found -1"),
        (("--range", "training.seed=1,9", "--sample", "2"), "give the values of training.seed by"),
        (("--grid", "l2=[1"), "not valid YAML"),
        (("--range", "l2=1e-3,1"), "needs --sample"),
        (("--range", "l2=0,1", "--sample", "3"), "expected LOW,HIGH"),
        (("--range", "l2=1,1", "--sample", "3"), "expected LOW,HIGH"),
        (("--range", "training.momentum=0.5,1.5", "--sample", "3"), "momentum: expected a number"),
        (
            ("--grid", "label_smoothing=0,0.1", "--grid", "loss=multiclass_svm"),
            'sweep of label_smoothing=0.1, loss="multiclass_svm": label_smoothing: needs',
        ),
        (
            (
                "--grid",
                "loss=softmax_cross_entropy,multiclass_svm",
                "--set",
                "training.select_by=loss",
            ),
            "would compare losses of two kinds",
        ),
        (("--range", "l2=1", "--sample", "3"), "expected LOW,HIGH"),
        (("--grid", "l2=0,1", "--set", "data.validation=0"), "picks its winner on validation"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, args, words):
    status, out, err = run("sweep", *args, "--output", tmp_path / "sweep")
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "sweep").exists()


def test_a_random_search_is_the_same_again(run, tmp_path):
    tables = []
    for name in ("a", "b"):
        _, out, _ = run(
            "sweep", "--range", "training.learning_rate=1e-4,1e-1", "--grid", "l2=0,0.01",
            "--sample", "4", "--output", tmp_path / name, "--json",
        )  # fmt: skip
        tables.append([model["settings"] for model in json.loads(out)["models"]])
    assert tables[0] == tables[1]
    assert len({setting["training.learning_rate"] for setting in tables[0]}) == 4


def test_a_model_that_stops_early_is_as_if_alone(run, tmp_path):
    """One that goes on must not change it, nor its history and number of epochs."""
    common = ("--set", "training.epochs=30", "--set", "training.early_stopping={patience: 2}")
    grid = ("--grid", "training.learning_rate=1e-4,3e-3,3e-2")
    status, out, _ = run("sweep", *common, *grid, "--output", tmp_path / "sweep", "--json")
    assert status == 0
    models = json.loads(out)["models"]
    history = (tmp_path / "sweep" / "sweep.jsonl").read_text().splitlines()
    epochs = [sum(json.loads(line)["model"] == k for line in history) for k in range(3)]
    assert len(set(epochs)) > 1  # they did not all stop at once
    for place, model in enumerate(models):
        assert model["diverged"] is None
        rate = model["settings"]["training.learning_rate"]
        _, out, _ = run(
            "train", *common, "--set", f"training.learning_rate={rate}",
            "--output", tmp_path / f"alone{place}", "--json",
        )  # fmt: skip
        alone = json.loads(out)
        assert (alone["epochs"], alone["kept_epoch"]) == (epochs[place], model["best_epoch"])
    ordinary = (tmp_path / "sweep" / "metrics.jsonl").read_text().splitlines()
    assert len(ordinary) == epochs[0]
    summary = json.loads((tmp_path / "sweep" / "summary.json").read_text())
    assert summary["epochs"] == epochs[0]


def test_a_sweep_by_a_measure_is_won_by_the_largest_value(run, tmp_path, capsys):
    chosen = ("--set", "training.select_by=macro_f1", "--output", tmp_path / "sweep")
    rates = "training.learning_rate=1e-6,0.03,1e-3"
    status, out, _ = run("sweep", *chosen, "--grid", rates, "--json")
    assert status == 0
    found = json.loads(out)
    values = [model["validation_macro_f1"] for model in found["models"]]
    assert values == sorted(values, reverse=True)
    assert found["winner"]["validation"]["macro_f1"] == pytest.approx(values[0], rel=1e-12)
    lines = (tmp_path / "sweep" / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line)["validation_macro_f1"] for line in lines) == values[0]
    for command in (("eval", tmp_path / "sweep"), ("report", "--text", tmp_path / "sweep")):
        assert call(*command) == 0
    capsys.readouterr()
    _, out, _ = run("sweep", *chosen[:2], "--grid", rates, "--output", tmp_path / "again")
    assert out.split()[:2] == ["training.learning_rate", "macro_f1"]
    assert f"{100 * values[0]:.2f} %" in out.splitlines()[1]


def test_the_winners_certificate_is_the_one_that_lbfgs_has_stopped_at(run, tmp_path, monkeypatch):
    def looked_for_again(*_):
        raise AssertionError("a second search could end above the tolerance")

    monkeypatch.setattr(Training, "optimality", looked_for_again)
    path = tmp_path / "sweep"
    settings = ["--set", "training.solver=lbfgs", "--set", "training.tolerance=1e-9"]
    run("sweep", *settings, "--grid", "l2=2e-3,1e-3", "--output", path)
    summary = json.loads((path / "summary.json").read_text())
    assert summary["train"]["relative_gap"] <= 1e-9
    assert not any("not converged" in remark for remark in summary["remarks"])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, ["none", "No such file"]),
        ("folder", ["folder", "no sweep to go on with"]),
        ("finished", ["finished", "this sweep has finished"]),
    ],
)
def test_what_there_is_no_sweep_to_resume_in(run, tmp_path, made, words):
    path = tmp_path / (made or "none")
    if made == "folder":
        path.mkdir()
    if made == "finished":
        assert run("sweep", *GRIDS, "--output", path)[0] == 0
    status, _, err = run("sweep", *GRIDS, "--output", path, "--resume")
    assert (status, err.count("\n")) == (2, 1)
    assert all(word in err for word in words)


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_folder_with_results_is_refused_before_the_data_are_read(run, tmp_path, command):
    (tmp_path / "summary.json").write_text("{}")
    grid = GRIDS if command == "sweep" else ()
    config = tmp_path / "nothing.yaml"
    config.write_text("data: {format: npy, path: nothing.npy, labels: nothing.npy}\n")
    status, _, err = run(command, *grid, "--config", config, "--output", tmp_path)
    assert (status, "holds a run that has finished" in err) == (2, True)
