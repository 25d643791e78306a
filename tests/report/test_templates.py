"""`report --text --templates`, and the comparison of several runs."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from backprop_cli.cli.main import cli
from backprop_cli.reporting.report.load import run_view
from backprop_cli.reporting.report.templates import to_blocks
from backprop_cli.runs.opened import open_run
from tests.report.conftest import train

CELL = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀")


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", ["images", "two classes", "many classes"])
def test_templates_fit(runs, name, columns):
    text = to_blocks(run_view(open_run(str(runs[name])), "test"), columns)
    lines = plain(text).splitlines()
    assert max(map(len, lines)) <= columns
    assert any("▀" in line for line in lines)


def test_a_pixel_has_the_colour_of_its_weights(runs):
    view = run_view(open_run(str(runs["images"])), "test")
    first = CELL.search(to_blocks(view, 120))
    weights = view.weights.reshape(5, 3, 8, 8)
    limit = np.quantile(np.abs(weights), 0.995)
    expected = np.clip(0.5 + weights[0, :, :2, 0] / (2 * limit), 0, 1) * 255
    found = np.array(list(map(int, first.groups()))).reshape(2, 3).T
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


def test_the_command_prints_colours_even_to_a_pipe(runs):
    result = CliRunner().invoke(cli, ["report", str(runs["images"]), "--text", "--templates"])
    assert result.exit_code == 0
    assert CELL.search(result.stdout)


def test_templates_need_images_and_text(run, runs):
    status, _, err = run("report", runs["features"], "--text", "--templates")
    assert (status, "needs a model of images" in err) == (2, True)
    status, _, err = run("report", runs["images"], "--templates")
    assert (status, "--templates is for --text" in err) == (2, True)


def test_all_runs_are_compared_one_per_row(run, runs, tmp_path):
    eight = [train(tmp_path / f"run{k}", epochs=k + 1) for k in range(8)]
    assert run("report", *eight, "--output", tmp_path / "c.html")[0] == 0
    content = (tmp_path / "c.html").read_text("utf-8")
    for name in (path.name for path in eight):
        assert content.count(f'<th scope="row">{name}</th>') == 4  # settings, two splits, training


def test_losses_of_different_kinds_are_not_compared(run, runs, tmp_path):
    other = tmp_path / "svm"
    config = runs["images"].with_suffix(".yaml")
    args = ("--set", "loss=multiclass_svm", "--output", other)
    assert run("train", "--config", config, *args)[0] == 0
    for pair, same in (((runs["images"], other), False), ((runs["images"],) * 2, True)):
        assert run("report", *pair, "--output", tmp_path / "c.html")[0] == 0
        content = (tmp_path / "c.html").read_text("utf-8")
        assert ("losses are of different kinds" in content) is not same
        last_cells = re.findall(r'<td class="number( best)?">[\d.]+</td></tr>', content)
        assert (" best" in last_cells) is same


def test_rates_that_change_within_an_epoch_are_those_of_every_step(run, runs, tmp_path):
    config = runs["images"].with_suffix(".yaml")
    for kind, shape in (("cosine", (3, 10)), ("constant", None)):
        folder = tmp_path / kind
        more = ("--set", f"training.schedule={{kind: {kind}}}", "--output", folder)
        assert run("train", "--config", config, *more)[0] == 0
        rates = run_view(open_run(str(folder)), "test").rates
        assert (None if rates is None else rates.shape) == shape
    t = np.arange(30) / 30
    expected = 0.01 * (1 + np.cos(np.pi * t)) / 2
    found = run_view(open_run(str(tmp_path / "cosine")), "test").rates.ravel()
    np.testing.assert_allclose(found, expected, atol=0.01 * 0.06)
