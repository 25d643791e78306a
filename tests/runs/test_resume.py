"""A run that is stopped and goes on is the run that was never stopped, bit for bit."""

import contextlib
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from backprop_cli import blas
from backprop_cli.config import check_config, load_config
from backprop_cli.engine import threads
from backprop_cli.errors import ConfigError, DivergedError, ModelFileError, OutputError
from backprop_cli.reporting.report.load import run_view
from backprop_cli.runs.opened import open_run
from backprop_cli.runs.run import Run
from backprop_cli.runs.run_directory import load_run, locked
from backprop_cli.runs.session import Interrupted
from backprop_cli.runs.sweep import Sweep
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.observer import Observer

DATA = "data: {format: synthetic, examples: 400, size: 8, classes: 4, validation: 60, test: 60}\n"
KINDS = {
    "softmax": "training: {epochs: 4, batch_size: 16}",
    "svm": "loss: multiclass_svm\ntraining: {epochs: 4, batch_size: 16, momentum: 0.9, "
    "nesterov: true, horizontal_flips: true}",
    "cosine": "l2: 0.1\nlabel_smoothing: 0.1\n"
    "training: {epochs: 4, batch_size: 30, momentum: 0.5, schedule: {kind: cosine}}",
    "early": "training: {epochs: 60, batch_size: 16, learning_rate: 0.5, "
    "early_stopping: {patience: 2}}",
    "macro F1": "training: {epochs: 30, batch_size: 16, learning_rate: 0.5, select_by: macro_f1, "
    "early_stopping: {patience: 2}}",
    "lbfgs": "l2: 0.01\ntraining: {solver: lbfgs, tolerance: 1.0e-8}",
    "lbfgs double": "model: {dtype: float64}\nl2: 0.001\ntraining: {solver: lbfgs}",
    "lbfgs no l2": "model: {outputs: 1}\ntraining: {solver: lbfgs, tolerance: 1.0e-12}",
    "last": "training: {epochs: 4, batch_size: 16, keep: last, class_weights: balanced}",
    "double": "model: {dtype: float64}\ntraining: {epochs: 4, batch_size: 16, momentum: 0.9}",
    "one score": "model: {outputs: 1}\ntraining: {epochs: 4, batch_size: 16}",
    "steps": "training: {epochs: 5, batch_size: 16, evaluate_every: 2, train_figures: steps}",
    "compiled": "compute: {backend: compiled}\n"
    "training: {epochs: 4, batch_size: 16, momentum: 0.9, horizontal_flips: true, "
    "train_figures: steps}",
}
FILES = ("model.safetensors", "metrics.jsonl", "config.yaml", "summary.json")


@pytest.fixture(autouse=True)
def _look_up_after_every_step(monkeypatch):
    monkeypatch.setattr(Descent, "max_work_at_once", 1.0)


def config(text, output):
    data = DATA.replace("classes: 4", "classes: 2") if "outputs: 1" in text else DATA
    return check_config(f"{data}{text}\noutput: '{output}'\n", "test")


class StopAt(Observer):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, steps):
        self._left = steps

    def steps(self, number, loss, learning_rate):
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


def content(folder):
    """Return all that a finished run left, but for the time it took and where it lies."""
    found: dict[str, Any] = {name: (pathlib.Path(folder) / name).read_bytes() for name in FILES}
    lines = [json.loads(line) for line in found["metrics.jsonl"].splitlines()]
    found["metrics.jsonl"] = [{**line, "seconds": None} for line in lines]
    found["summary.json"] = {**json.loads(found["summary.json"]), "run": None}
    found["config.yaml"] = found["config.yaml"].replace(str(folder).encode(), b"")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_anywhere_and_resumed_is_never_stopped(kind, tmp_path):
    if kind == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    Run(config(KINDS[kind], tmp_path / "whole")).train(Observer())
    expected = content(tmp_path / "whole")
    stops = ((1, 1), (5, 9), (12, 3), (8, 2)) if "lbfgs" in kind else ((1, 1), (5, 20), (18, 7))
    for first, second in stops:
        folder = tmp_path / f"{first}-{second}"
        for resume, steps in ((False, first), (True, second), (True, 10_000)):
            try:
                Run(config(KINDS[kind], folder)).train(StopAt(steps), resume=resume)
            except Interrupted:
                assert not (folder / "summary.json").exists()
        assert content(folder) == expected
        assert not (folder / "checkpoint.safetensors").exists()


def test_before_the_first_evaluation_the_latest_weights_are_the_model(tmp_path):
    class StopAfterTwo(Observer):
        def epoch(self, records):
            if records[0].epoch == 2:
                raise KeyboardInterrupt

    same = "learning_rate: 0.01, schedule: {kind: constant}"
    own = f"training: {{epochs: 9, evaluate_every: 5, {same}}}"
    with pytest.raises(Interrupted):
        Run(config(own, tmp_path / "run")).train(StopAfterTwo())
    Run(config(f"training: {{epochs: 2, keep: last, {same}}}", tmp_path / "two")).train(Observer())
    stopped, two = (load_run(tmp_path / name)[1] for name in ("run", "two"))
    np.testing.assert_array_equal(stopped.weights, two.weights)
    assert run_view(open_run(tmp_path / "run"), "test").kept_epoch == 2
    Run(config(own, tmp_path / "run")).train(Observer(), resume=True)


def test_lbfgs_resumes_the_same_where_the_blas_has_other_threads(tmp_path):
    """As with OPENBLAS_NUM_THREADS=1: the run's own number of threads counts, also on resuming."""
    own = KINDS["lbfgs"] + "\ncompute: {threads: 2}"
    with blas.limited(1):
        Run(config(own, tmp_path / "whole")).train(Observer())
        with pytest.raises(Interrupted):
            Run(config(own, tmp_path / "run")).train(StopAt(7))
        Run(config(own, tmp_path / "run")).train(Observer(), resume=True)
    assert content(tmp_path / "run") == content(tmp_path / "whole")


SWEPT: list[dict[str, Any]] = [
    {"training": {"learning_rate": rate, "seed": seed}, "loss": loss}
    for seed in (1, 2)
    for rate in (0.01, 0.1, 1e30)
    for loss in ("softmax_cross_entropy", "multiclass_svm")
]


def sweep(folder, swept=SWEPT):
    configs = []
    for own in swept:
        training = {"epochs": 3, "batch_size": 32, "momentum": 0.9, **own["training"]}
        rest = json.dumps({**own, "training": training, "output": str(folder)})
        configs.append(check_config(f"{{{DATA.strip()}, {rest[1:]}", "test"))
    return Sweep(configs, swept)


def test_a_sweep_resumes_in_any_pass(tmp_path):
    """Two passes of three epochs of nine steps; one rate diverges at once."""
    whole, _ = sweep(tmp_path / "whole").run(Observer())
    expected = content(tmp_path / "whole")
    tables = (tmp_path / "whole" / "sweep.json").read_bytes()
    for first, second in ((1, 3), (12, 20), (30, 5)):
        folder = tmp_path / f"{first}-{second}"
        for resume, steps in ((False, first), (True, second), (True, 10_000)):
            with contextlib.suppress(Interrupted):
                candidates, _ = sweep(folder).run(StopAt(steps), resume=resume)
        assert content(folder) == expected
        assert (folder / "sweep.json").read_bytes() == tables
        assert [c.settings for c in candidates] == [c.settings for c in whole]
    assert sum(c.diverged is not None for c in whole) == 4


def test_a_sweep_resumes_where_models_have_stopped(tmp_path):
    """The first rate moves nothing: its model stops after the second of five epochs."""
    early = {"early_stopping": {"patience": 1}, "epochs": 5}
    swept: list[dict[str, Any]] = [
        {"training": {"learning_rate": rate, **early}} for rate in (1e-30, 1e-3, 2e-3)
    ]
    sweep(tmp_path / "whole", swept).run(Observer())
    lines = (tmp_path / "whole" / "sweep.jsonl").read_text().splitlines()
    lengths = np.bincount([json.loads(line)["model"] for line in lines])
    assert min(lengths) == 2
    assert max(lengths) > 2
    for resume, after in ((False, 22), (True, 3), (True, 10_000)):
        with contextlib.suppress(Interrupted):
            sweep(tmp_path / "parts", swept).run(StopAt(after), resume=resume)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.parametrize("steps", [(1, 2), (8, 9), (20, 15), (25, 1)])
def test_a_sweep_by_lbfgs_resumes_on_its_path(tmp_path, steps):
    """Also in the middle of a certificate, of which the observer hears as well."""
    path: list[dict[str, Any]] = [
        {"l2": l2, "training": {"solver": "lbfgs"}} for l2 in (0.001, 0.1, 0.01)
    ]
    sweep(tmp_path / "whole", path).run(Observer())
    expected = content(tmp_path / "whole")
    folder = tmp_path / "parts"
    for resume, after in ((False, steps[0]), (True, steps[1]), (True, 10_000)):
        with contextlib.suppress(Interrupted):
            sweep(folder, path).run(StopAt(after), resume=resume)
    assert content(folder) == expected


def interrupted(folder, text=KINDS["softmax"]):
    with pytest.raises(Interrupted):
        Run(config(text, folder)).train(StopAt(7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 4", "epochs: 5"), "training.epochs: the run has 4, now it is 5"),
        (("batch_size: 16", "batch_size: 16, seed: 1"), "training.seed: the run has 42, now"),
    ],
)
def test_another_config_is_named_and_refused(tmp_path, change, message):
    interrupted(tmp_path / "run")
    other = KINDS["softmax"].replace(*change)
    with pytest.raises(ConfigError, match=message):
        Run(config(other, tmp_path / "run")).train(Observer(), resume=True)


def test_other_data_and_versions_are_named_and_refused(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((100, 5)), np.arange(100) % 2
    text = f"data: {{format: npy, path: '{tmp_path}/d.npz', test: 0.2}}\noutput: '{tmp_path}/run'\n"
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with pytest.raises(Interrupted):
        Run(check_config(text, "test")).train(StopAt(3))
    x[17, 3] = np.nextafter(x[17, 3], 9)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with pytest.raises(ConfigError, match="run: the data are not those of the run; restore"):
        Run(check_config(text, "test")).train(Observer(), resume=True)
    saved = tmp_path / "run" / "config.yaml"
    saved.write_text(saved.read_text().replace(np.__version__, "1.0.0"))
    with pytest.raises(ConfigError, match=r"recorded\.numpy: the run has 1\.0\.0, now it is"):
        Run(check_config(text, "test")).train(Observer(), resume=True)


def test_a_finished_run_has_nothing_to_go_on_with(tmp_path):
    Run(config(KINDS["softmax"], tmp_path)).train(Observer())
    with pytest.raises(ModelFileError, match="has finished"):
        Run(config(KINDS["softmax"], tmp_path)).train(Observer(), resume=True)
    with pytest.raises(OutputError, match="holds a run that has finished"):
        Run(config(KINDS["softmax"], tmp_path)).train(Observer())


def test_no_run_to_resume(tmp_path):
    for wrong in (
        Run(config(KINDS["softmax"], tmp_path / "typo")).train,
        sweep(tmp_path / "typo").run,
    ):
        with pytest.raises(OutputError, match="typo: cannot use this folder: No such file"):
            wrong(Observer(), resume=True)
    assert not (tmp_path / "typo").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelFileError, match="no config"):
        Run(config(KINDS["softmax"], tmp_path / "run")).train(Observer(), resume=True)
    with pytest.raises(ModelFileError, match="no sweep"):
        sweep(tmp_path / "run").run(Observer(), resume=True)


def test_auto_means_on_resuming_what_it_meant(tmp_path, monkeypatch):
    """There are more cores by then."""
    monkeypatch.setattr(threads, "cores", lambda: 1)
    with pytest.raises(Interrupted):
        sweep(tmp_path / "s").run(StopAt(4))
    monkeypatch.setattr(threads, "cores", lambda: 2)
    sweep(tmp_path / "s").run(Observer(), resume=True)
    assert load_config(tmp_path / "s" / "config.yaml").compute.threads == 1


def test_what_a_killed_writer_left_goes_at_the_next_start(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".model.safetensors.0123456789abcdef").write_text("half of it")
    others = (".model.safetensors.bak", ".mine.0123456789abcdef")
    for name in others:
        (folder / name).write_text("the user's own")
    Run(config(KINDS["softmax"], folder)).train(Observer())
    assert {path.name for path in folder.iterdir()} == {*FILES, *others}


def test_a_second_process_is_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder), pytest.raises(OutputError, match="another process"):
        Run(config(KINDS["softmax"], folder)).train(Observer())
    Run(config(KINDS["softmax"], folder)).train(Observer())


def test_a_config_that_was_edited_meanwhile_is_refused(tmp_path):
    interrupted(tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text().replace("epochs: 4", "epochs: 5"))
    with pytest.raises(ConfigError, match="is not the config that the checkpoint was written with"):
        Run(load_config(file)).train(Observer(), resume=True)


def test_a_sweep_resumed_with_fewer_seeds_is_refused(tmp_path):
    with pytest.raises(Interrupted):
        sweep(tmp_path).run(StopAt(40))
    fewer = [own for own in SWEPT if own["training"]["seed"] == 1]
    with pytest.raises(ConfigError, match="the sweep has 12 settings, now there are 6"):
        sweep(tmp_path, fewer).run(Observer(), resume=True)
    with pytest.raises(ModelFileError, match="sweep with --resume goes on"):
        load_run(str(tmp_path))


def test_a_sweep_of_which_every_model_diverges_can_be_looked_at(tmp_path):
    hopeless = [
        {"training": {"learning_rate": rate}, "loss": "multiclass_svm"} for rate in (1e29, 1e30)
    ]
    with pytest.raises(DivergedError, match="every model of the sweep diverged"):
        sweep(tmp_path, hopeless).run(Observer())
    saved, model = load_run(str(tmp_path))
    assert saved.training.learning_rate in (1e29, 1e30)
    assert np.isfinite(model.weights).all()


@pytest.mark.parametrize(
    "damage", ["a weight", "empty", "cut", "other", "shape", "state", "format"]
)
def test_a_broken_checkpoint_is_one_error(tmp_path, damage):
    from safetensors.numpy import load_file, save_file

    interrupted(tmp_path / "run")
    file = tmp_path / "run" / "checkpoint.safetensors"
    raw, tensors = file.read_bytes(), load_file(file)
    text = {"backprop-checkpoint": json.dumps({"format": 1, "descent": {}, "about": {}})}
    if damage == "a weight":
        file.write_bytes(raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        file.write_bytes(raw[:-1])
    elif damage == "other":
        save_file({"x": np.zeros(3)}, file)
    elif damage == "shape":
        file.write_bytes(raw.replace(b'"velocity_b"', b'"velocity_c"'))
    elif damage == "state":
        save_file(tensors, file, text)
    elif damage == "format":
        save_file(tensors, file, {"backprop-checkpoint": '{"format": 99}'})
    with pytest.raises(ModelFileError, match="checkpoint"):
        Run(config(KINDS["softmax"], tmp_path / "run")).train(Observer(), resume=True)
