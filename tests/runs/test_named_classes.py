"""Class names that come from the labels, from the training to every command on the model."""

import json

import numpy as np
import pytest

from backprop_cli.runs.model_file import load_model
from tests.command import call

NAMES = np.array(["horse", "cat", "dog"])


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """A config whose labels are texts, and whose test rows and groups are files."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    x = 9 * rng.standard_normal((3, 4))[labels] + rng.standard_normal((120, 4))
    np.save("x.npy", x.astype("f4"))
    (tmp_path / "y.txt").write_text("\n".join(NAMES[labels]))
    np.save("other.npy", x[:9].astype("f4"))
    (tmp_path / "other.txt").write_text("\n".join(NAMES[labels[:9]]))
    np.save("groups.npy", np.arange(120) // 5)
    (tmp_path / "rows.txt").write_text("\n".join(map(str, range(90, 120))))
    (tmp_path / "c.yaml").write_text(
        "data: {format: npy, path: x.npy, labels: y.txt, test_rows: rows.txt, groups: groups.npy}\n"
        "training: {epochs: 20, learning_rate: 0.05}\noutput: run\n"
    )
    assert call("train", "--config", "c.yaml") == 0
    return NAMES[labels]


def test_names_stand_in_model_eval_report_and_predict(probe, tmp_path, capsys):
    assert load_model(tmp_path / "run" / "model.safetensors").class_names == ("cat", "dog", "horse")
    capsys.readouterr()
    assert call("eval", "run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["classes"]] == ["cat", "dog", "horse"]
    counts = [row["examples"] for row in found["classes"]]
    assert counts == [int((probe[90:] == name).sum()) for name in ("cat", "dog", "horse")]
    assert found["accuracy"] == 1.0
    assert call("predict", "run", "--input", "x.npy", "--json") == 0
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["class"] for line in lines] == probe.tolist()
    assert call("report", "run", "--text") == 0
    assert "horse" in capsys.readouterr().out


def test_other_labels_are_matched_by_name(probe, tmp_path, capsys):
    """Files of fewer classes, in another form; they replace the rows that the run had for test."""
    other = ["--set", "data.test=other.npy", "--set", "data.test_labels=other.txt"]
    for form in (probe[:9], probe[:9].astype("S")[:, None]):
        if form.ndim == 2:
            np.save("other_labels.npy", form)
            other[-1] = "data.test_labels=other_labels.npy"
        capsys.readouterr()
        assert call("eval", "run", *other, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["accuracy"], found["examples"]) == (1.0, 9)
    (tmp_path / "other.txt").write_text("cat\n" * 7 + "mouse\ncat\n")
    other[-1] = "data.test_labels=other.txt"
    assert call("eval", "run", *other) == 2
    said = capsys.readouterr().err
    assert "other.txt: row 7" in said
    assert "'mouse'" in said
    assert said.count("\n") == 1


def test_rows_cannot_be_others_for_a_trained_model(probe, capsys):
    assert call("eval", "run", "--set", "data.test_rows=groups.npy") == 2
    assert "only files of other data" in capsys.readouterr().err
