"""What goes to a terminal of 60, 80 and 120 columns fits: nothing is cut."""

import io
import re
import time

import numpy as np
import pytest

from backprop_cli.cli import progress
from backprop_cli.cli.progress import ProgressBar
from backprop_cli.cli.signals import Stops
from backprop_cli.solvers.observer import EpochRecord
from backprop_cli.sources import survey
from tests.make import dataset, split


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("n_epochs", [40, None])
def test_the_bar(monkeypatch, columns, n_epochs):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    with ProgressBar(Stops()) as bar:
        bar.begin(n_epochs, 500, 0)
        bar._bar.mininterval = 0
        bar._bar.miniters = 1
        for step in range(1000):
            bar.steps(1, 1234.5678, 0.00123)
            if step % 500 == 499:
                record = EpochRecord(
                    epoch=1 + step // 500, seconds=1.0, learning_rate=0.00123, train_loss=1.5,
                    train_cost=1.6, train_accuracy=0.4, validation_loss=1.7,
                    validation_accuracy=0.4123,
                )  # fmt: skip
                bar.epoch([record])
        bar._bar.refresh()
    lines = [line for line in re.split(r"[\r\n]", terminal.getvalue()) if line.strip()]
    assert max(map(len, lines)) < columns
    last = lines[-1]
    assert "loss 1.500" in last
    if n_epochs:
        assert last.startswith("epoch 2/40   5 % |")
        assert re.search(r"\|[^|]{8,}\| [\d:]+ left", last)
    assert ("validation 41.2 %" in last) == (columns >= 80)
    rate = "rate" if n_epochs else "length"
    assert (f"{rate} 0.0012" in last) == (columns >= 110)


def test_the_bar_of_the_first_pass_over_the_data(monkeypatch):
    labels = np.arange(30) % 3
    shown = []
    data = dataset(split(np.eye(30), labels, np.arange(20)), split(np.eye(10, 30), labels[:10]))
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(progress, "_WORTH_A_BAR", 0.0)
        with progress.reading_bar() as tell:

            def slowly(*args, tell=tell):
                tell(*args)
                time.sleep(0.11)  # the bar is drawn ten times a second

            survey(data, "per_feature", "float32", tell=slowly)
        shown.append(stream.getvalue())
    assert re.search(r"reading   0 % \|.*reading 100 % \|", shown[0])
    assert shown[1] == ""


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_sweeps_table(run, config, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    path = config()
    grids = (
        "--grid", "training.learning_rate=0.001,0.01", "--grid", "l2=0,0.1",
        "--grid", "training.momentum=0,0.9", "--grid", "training.schedule={kind: constant}",
        "--grid", "label_smoothing=0.1", "--set", "training.select_by=macro_f1",
    )  # fmt: skip
    status, out, _ = run("sweep", "--config", path, *grids)
    assert status == 0
    table = out.split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= columns
    words = " ".join(table.split())
    for part in ("learning_rate", "momentum", "kind: constant", "validation", "epoch"):
        assert part in words
    assert words.count("kind: constant") == 8


NAMES = [f"a class {k} with a name of some length, so to say" for k in range(12)]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_every_table_fits_and_nothing_is_cut(run, monkeypatch, tmp_path, columns):
    """Names of classes longer than half a line, matrices of twelve columns, and notes."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.arange(720) % 12
    np.savez("d.npz", x=rng.normal(size=(720, 3, 4, 1)) + y[:, None, None, None] / 9, y=y)
    np.savez("t.npz", x=rng.normal(size=(24, 12)), y=y[:24])
    (tmp_path / "c.yaml").write_text(
        f"data: {{format: npy, path: d.npz, classes: {NAMES}, validation: 120, test: 120}}\n"
        "training: {epochs: 2, batch_size: 5000}\noutput: run\n"
    )

    def fits(*args):
        status, out, err = run(*args)
        assert status == 0, err
        for line in (out + err).splitlines():
            assert len(line) <= columns, line
        assert "…" not in out + err or args[0] == "explain"
        return " ".join(out.split()), " ".join(err.split())

    trained, _ = fits("train", "--config", "c.yaml")
    assert "note training.batch_size is 5000, but there are 480 training examples" in trained
    (tmp_path / "run" / "summary.json").rename(tmp_path / "summary.json")
    for args in (
        ("eval", "run"),
        ("report", "--text", "run"),
        ("data", "info", "--config", "c.yaml"),
    ):
        found, err = fits(*args)
        assert ("Note: run: the run has not finished" in err) == (args[0] != "data")
        for name in NAMES[:4] if args[0] == "report" else NAMES:
            assert name in found
    (tmp_path / "summary.json").rename(tmp_path / "run" / "summary.json")
    fits("eval", "run")
    fits("predict", "run", "--input", "t.npz")
    assert "runs away" in fits("lr-range", "--config", "c.yaml", "--steps", "20")[0]
    found, _ = fits("explain", "run")
    assert all(name[:39] in found for name in NAMES)  # longer ones end in dots
    found, _ = fits("explain", "run", "--examples", "3")
    assert all(name in found for name in NAMES)
    assert "10 characters of hiragana" in fits("data", "list")[0]
    probed, _ = fits("probe", "d.npz", "--output", "probe")
    assert "validation" in probed
