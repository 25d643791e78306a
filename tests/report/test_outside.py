"""What is written beside a run: nothing elsewhere, nothing twice, and what cannot be says so."""

import pathlib
import shutil
import struct

import numpy as np
import pytest

from backprop_cli.evaluation import predictions
from backprop_cli.evaluation.predictions import decided
from backprop_cli.model import LinearModel
from backprop_cli.reporting.tensorboard import TensorBoardLog
from backprop_cli.sources import Standardization
from tests.cli.conftest import config
from tests.make import split

__all__ = ["config"]  # a fixture


@pytest.fixture
def done(run, config, tmp_path):
    assert run("train", "--config", config())[0] == 0
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["report", "tensorboard"])
def test_a_link_leads_nowhere(refused, config, done, tmp_path, name):
    """A stranger's run directory may have a link in place of a folder that is written to."""
    pytest.importorskip("matplotlib", reason="needs the extra: plot")
    pytest.importorskip("tensorboardX", reason="needs the extra: tensorboard")
    (tmp_path / "elsewhere").mkdir()
    (done / name).symlink_to(tmp_path / "elsewhere")
    if name == "report":
        refused("report", done, words=["report", "a link"])
    else:
        (done / "summary.json").unlink()
        args = ("train", "--resume", "--output", done, "--tensorboard")
        refused(*args, words=["tensorboard", "a link"])
    assert not list((tmp_path / "elsewhere").iterdir())


def events(folder):
    """Return (step, tag, value) of what TensorBoard shows: later starts make earlier ones void."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found: list[tuple[int, str, float]] = []
    for path in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = event_pb2.Event.FromString(content[at + 12 : at + 12 + size])
            at += size + 16
            if event.session_log.status == event_pb2.SessionLog.START:
                found = [one for one in found if one[0] < event.step]
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return found


def test_epochs_after_a_checkpoint_are_logged_once(tmp_path, monkeypatch):
    """Both starts are in the same second, and the second one repeats an epoch."""
    monkeypatch.setattr("time.time", lambda: 1e9)
    for first, loss in ((1, 1.0), (3, 2.0)):
        log = TensorBoardLog(tmp_path / "log", first)
        for epoch in range(first, first + 3):
            log.epoch({"epoch": epoch, "seconds": 1.0, "train_loss": loss * epoch})
        log.close()
    assert len(list((tmp_path / "log").iterdir())) == 2
    found = sorted(events(tmp_path / "log"))
    assert found == [(k, "train/loss", float(k if k < 3 else 2 * k)) for k in range(1, 6)]


def test_a_file_in_the_place_of_a_folder(refused, config, tmp_path):
    pytest.importorskip("tensorboardX", reason="needs the extra: tensorboard")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tensorboard").touch()
    refused("train", "--config", config(), "--tensorboard", words=["run/tensorboard"])


def test_a_full_disk_behind_the_log(tmp_path, monkeypatch):
    writer = pytest.importorskip("tensorboardX.record_writer")
    log = TensorBoardLog(tmp_path / "log", 1)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer.RecordWriter, "flush", full)
    with pytest.raises(OSError, match=r"log: cannot write: No space left on device"):
        log.epoch({"epoch": 1, "train_loss": 1.0})
    log.close()


@pytest.mark.parametrize("command", ["calibrate", "report", "eval"])
def test_what_cannot_be_written_is_found_before_it_is_computed(
    refused, done, tmp_path, monkeypatch, command
):
    def computed(*args, **more):
        raise AssertionError("computed first")

    name, place = {
        "calibrate": ("calibration.json", "backprop_cli.runs.calibration.calibrate"),
        "report": ("report.html", "backprop_cli.reporting.report.write.pictures"),
        "eval": ("out.csv", "backprop_cli.evaluation.metrics.evaluate_model"),
    }[command]
    monkeypatch.setattr(place, computed)
    more = ("--output", done / name) if command == "eval" else ()
    (done / name).mkdir()
    refused(command, done, *more, words=[name])


def test_warnings_of_other_libraries_are_not_for_stderr(config, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, warnings, logging, backprop_cli.runs.run as module\n"
        "before = module.load_shared\n"
        "def late(*args, **more):\n"
        "    warnings.warn('of a library'); logging.getLogger('m').warning('a log')\n"
        "    return before(*args, **more)\n"
        "module.load_shared = late\n"
        f"sys.argv = ['backprop', 'train', '--dry-run', '--config', {str(config())!r}]\n"
        "from backprop_cli.__main__ import main\nmain()\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (found.returncode, found.stderr) == (0, b"")


def test_reports_of_many_classes_hold_no_array_of_examples_by_classes(monkeypatch):
    """Blocks of probabilities are all that is ever as wide as there are classes."""
    rng, C, n = np.random.default_rng(0), 7, 50
    model = LinearModel(
        rng.standard_normal((C, 3)), np.zeros(C), Standardization(np.zeros(3), np.ones(3)),
        tuple(map(str, range(C))), None, "softmax_cross_entropy",
    )  # fmt: skip
    examples = split(rng.standard_normal((n, 3)), np.arange(n) % C, rows=np.arange(0, n, 2))
    monkeypatch.setattr(
        "backprop_cli.engine.numpy_engine.NumpyEngine.examples_at_once", 4, raising=False
    )
    found = decided(model, examples, 2.0)
    probable, decisions = model.predict(examples.source, examples.rows, 2.0)
    rows = np.arange(len(examples))
    np.testing.assert_array_equal(found.decisions, decisions)
    np.testing.assert_allclose(found.confidence, probable[rows, decisions], rtol=1e-12)
    np.testing.assert_allclose(found.truth, probable[rows, examples.own_labels()], rtol=1e-12)
    assert {array.ndim for array in vars(found).values()} == {1}
    assert predictions.Decided is type(found)


def test_no_home_is_not_the_root(tmp_path, monkeypatch):
    cache = pytest.importorskip("backprop_cli.engine.kernels.cache")
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = pathlib.Path(cache._folder.__wrapped__())
    assert folder.is_relative_to(tmp_path)
    shutil.rmtree(folder)
