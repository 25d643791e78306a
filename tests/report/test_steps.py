"""A run of L-BFGS is counted in steps, with a length, and not in epochs with a learning rate."""

import re

import pytest


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "data: {format: synthetic, size: 8, examples: 200, classes: 3}\n"
        "training: {solver: lbfgs, epochs: 3}\ncompute: {threads: 1}\n"
        f"output: {tmp_path / 'run'}\n"
    )
    return file


def test_a_run_of_lbfgs_has_steps(run, config, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra: plot")
    for solver in ("lbfgs", "sgd"):
        more = ("--set", f"training.solver={solver}", "--output", tmp_path / solver)
        _, out, _ = run("train", "--config", config, *more)
        assert any(line.startswith("epoch ") for line in out.splitlines()) == (solver == "sgd")
    folder = tmp_path / "lbfgs"
    n = len((folder / "metrics.jsonl").read_text().splitlines())
    assert f"\nsteps       {n}\n" in run("report", folder, "--text")[1]
    text = run("report", folder, "--text")[1]
    assert "step length" in text
    assert "learning rate" not in text
    assert run("report", folder)[0] == 0
    page = (folder / "report.html").read_text("utf-8")
    assert f"{n} steps of L-BFGS." in page
    assert f"{n} steps. At the last: " in page
    both = tmp_path / "both.html"
    assert run("report", folder, tmp_path / "sgd", "--output", both)[0] == 0
    text = both.read_text("utf-8")
    assert re.search(r">epoch kept</th><th [^>]*>steps or epochs</th>", text)
    cells = rf'<th scope="row">lbfgs</th><td class="number">-</td><td class="number">{n}</td>'
    assert cells in text


def test_a_sweep_of_lbfgs_counts_steps(run, config):
    more = ("--set", "training.solver=lbfgs", "--grid", "l2=0.1,0.01")
    head = run("sweep", "--config", config, *more)[1].splitlines()[0]
    assert head.split() == ["l2", "validation", "loss", "steps"]
