"""What `backprop gradcheck` prints, and its exit status."""

import dataclasses
import json

import pytest

from backprop_cli.engine.numpy_engine import NumpyEngine

CONFIG = """\
data: {format: synthetic, examples: 200, size: 5, classes: 3, validation: 20, test: 20}
l2: 0.01
training: {batch_size: 20, momentum: 0.9}
"""


@pytest.fixture
def gradcheck(run, tmp_path):
    """Return a function that runs the command: status, stdout, stderr."""
    (tmp_path / "config.yaml").write_text(CONFIG)

    return lambda *args: run("gradcheck", "--config", tmp_path / "config.yaml", *args)


@pytest.fixture
def _wrong_bias(monkeypatch):
    right = NumpyEngine.sums

    def wrong(self, W, b, block, counts=None):
        sums = right(self, W, b, block, counts)
        if W.dtype == "float32":
            sums.db[0, 1] *= 2
        return sums

    monkeypatch.setattr(NumpyEngine, "sums", wrong)


def test_the_table_names_the_engine_and_is_aligned(gradcheck):
    status, out, err = gradcheck("--samples", 5)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "softmax_cross_entropy, l2 0.01, 75 features, 3 classes"
    assert "numpy, float32: the engine of this config, on 20 examples" in lines
    assert "numpy, float64: the reference, on 20 examples" in lines
    assert lines[-1] == "The gradients agree."
    headers = {line for line in lines if "compared with" in line}
    assert len(headers) == 1
    header = headers.pop()
    rows = [line for line in lines if line.startswith("  ") and line != header]
    assert {len(line) for line in (header, *rows)} == {len(header)}
    assert len(header) <= 111
    assert [row.split()[0] for row in rows[5:15]] == ["dL/dW"] * 5 + ["dL/db"] * 5


@pytest.mark.usefixtures("_wrong_bias")
def test_a_disagreement_is_marked_and_named(gradcheck):
    status, out, err = gradcheck()
    assert (status, err) == (1, "")
    marked = [line for line in out.splitlines() if line.startswith("!")]
    names = ["dL/db"] * 5 + ["dJ/db"] * 5 + ["b", "V_b"]
    assert [line.split()[1] for line in marked] == names
    verdict = out[out.index("The gradients DISAGREE:") :].splitlines()
    assert len(verdict) == 1 + len(marked)
    assert verdict[1] == "  numpy, float32: dL/db and the loop over examples, at b[1]"
    assert verdict[-1] == "  numpy, float32: the step of V_b and the update rule, at V_b[1]"


@pytest.mark.usefixtures("_wrong_bias")
def test_json_has_all_rows(gradcheck):
    status, out, err = gradcheck("--json", "--all", "--examples", 7)
    assert (status, err) == (1, "")
    found = json.loads(out)
    assert (found["agrees"], found["engine"]) == (False, "numpy, float32")
    wrong = [row for row in found["rows"] if not row["agrees"]]
    assert {(row["engine"], tuple(row["worst"])) for row in wrong} == {("numpy, float32", (1,))}
    checked = {row["checked"] for row in found["rows"] if row["parameter"] == "W"}
    assert checked == {3 * 75}


def test_an_engine_of_which_nothing_could_be_compared_has_not_passed(gradcheck, monkeypatch):
    """In float32 rounding may put every example on the other side of a kink, in float64 none."""
    from backprop_cli.gradcheck import comparison

    wide = dataclasses.replace(comparison.PRECISIONS["float32"], kink=10.0)
    monkeypatch.setitem(comparison.PRECISIONS, "float32", wide)
    status, out, err = gradcheck("--set", "loss=multiclass_svm")
    assert (status, err) == (1, "")
    assert "on 0 examples; 20 left out, within rounding of a kink of the loss" in " ".join(
        out.split()
    )
    expected = "Nothing could be compared with numpy, float32: take another training.seed."
    assert out.splitlines()[-1] == expected


def test_a_run_is_checked_at_its_weights(gradcheck, run, tmp_path):
    folder = tmp_path / "run"
    args = ("--set", "training.epochs=2", "--output", folder)
    assert run("train", "--config", tmp_path / "config.yaml", *args)[0] == 0
    status, out, err = run("gradcheck", folder, "--json")
    assert (status, err) == (0, "")
    found = {row["parameter"]: row for row in json.loads(out)["rows"] if row["cost"] == "L"}
    loss_at_drawn_weights = json.loads(gradcheck("--json")[1])["rows"][0]["engine_value"]
    assert found["L"]["engine_value"] < loss_at_drawn_weights / 2  # it has learned something
    status, out, err = run("gradcheck", folder, "--set", "model.outputs=1")
    assert (status, out, len(err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize("args", [(), ("somewhere", "--config", "config.yaml")])
def test_a_run_or_a_config_is_needed(run, args):
    status, out, err = run("gradcheck", *args)
    assert (status, out) == (2, "")
    assert "expected a RUN or --config FILE" in err


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_or_folds(gradcheck, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = gradcheck("--samples", 5)
    assert max(map(len, out.splitlines())) <= columns
    assert out.count("W[") == 10 + 10 + 1 + 1 + 1 + 1
