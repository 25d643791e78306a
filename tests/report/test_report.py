"""What a report says is what eval says; and it says it in one file, safely."""

import json
import re

import numpy as np
import pytest

from backprop_cli.reporting.report.text import sparkline
from tests.browser import browser
from tests.command import call
from tests.report.conftest import NAMES

KINDS = ["images", "one epoch", "two classes", "many classes", "diverged", "features", "sweep"]
DRAWN = {
    "curves",
    "templates",
    "confusion",
    "classes",
    "calibration",
    "truth",
    "mistakes",
    "hardest",
}
NO_IMAGE = DRAWN - {"templates", "mistakes", "hardest"}


@pytest.fixture(scope="module")
def pages(runs):
    pytest.importorskip("matplotlib", reason="needs the extra: plot")
    for folder in runs.values():
        assert call("report", folder) == 0
    return {kind: folder / "report.html" for kind, folder in runs.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_eval_to_the_last_digit(runs, pages, capsys, kind):
    page = pages[kind].read_text("utf-8")
    for split in ("validation", "test"):
        capsys.readouterr()
        assert call("eval", runs[kind], "--json", "--split", split) == 0
        found = json.loads(capsys.readouterr().out)
        row = re.search(rf'<tr><th scope="row">{split}</th>(.*?)</tr>', page)[1]
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
        assert cells[:2] == [f"{found['examples']:,}", f"{found['loss']:.4f}"]
        expected = [
            f"{100 * found[name]:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
            for name, (low, high) in found["intervals"].items()
        ]
        assert cells[2:] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_needs_nothing_else_and_every_picture_has_words(pages, kind):
    page = pages[kind].read_text("utf-8")
    assert len(page.encode()) < 5_000_000
    assert "<script" not in page
    assert not re.search(r"(?:src|href|srcset)=\"(?!data:)", page)
    alternatives = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert len(alternatives) == page.count("<img ")
    assert all(len(text) > 20 for text in alternatives)


def test_the_pictures_that_there_are(runs, pages):
    def drawn(kind):
        return {path.stem for path in (runs[kind] / "report").iterdir()}

    assert drawn("images") == drawn("one epoch") == drawn("two classes") == DRAWN
    assert drawn("features") == NO_IMAGE
    assert drawn("diverged") == DRAWN - {"curves"}
    assert "Class templates" not in pages["features"].read_text("utf-8")
    assert "No epoch has finished." in pages["diverged"].read_text("utf-8")


def test_names_cannot_break_the_page(pages):
    page = pages["features"].read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert NAMES[0] not in page


def test_a_folder_s_name_cannot_break_a_page_or_a_formula(runs, tmp_path):
    import shutil

    folders = []
    for name in ("<b onclick=x>q<", "a$_$b"):
        folders.append(shutil.copytree(runs["images"], tmp_path / name))
        assert call("report", folders[-1]) == 0
    path = tmp_path / "c.html"
    assert call("report", *folders, "--output", path) == 0
    for page in (path, folders[0] / "report.html"):
        assert "<b onclick" not in page.read_text("utf-8")
        assert "&lt;b onclick=x&gt;q&lt;" in page.read_text("utf-8")


@pytest.mark.parametrize("output", [".", "", "/dev/null", "model.safetensors", "a folder.html"])
def test_what_is_no_file_is_not_written_over(runs, capsys, monkeypatch, tmp_path, output):
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a folder.html").mkdir()
    assert call("report", runs["images"], runs["sweep"], "--output", output) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a folder.html"]


@pytest.mark.parametrize("command", ["eval", "report", "calibrate", "predict"])
def test_what_one_should_know_of_a_run_is_noted(runs, capsys, tmp_path, command):
    """It has not finished; its data is another by now, so that the split may be."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 4)), np.arange(90) % 3
    np.savez(tmp_path / "d.npz", x=x, y=y)
    config = tmp_path / "c.yaml"
    config.write_text(
        f"data: {{format: npy, path: '{tmp_path}/d.npz', validation: 0.2, test: 0.2}}\n"
        f"training: {{epochs: 2}}\noutput: '{tmp_path}/run'\n"
    )
    assert call("train", "--config", config) == 0
    more = {"predict": ["--input", tmp_path / "d.npz"], "report": ["--text"]}
    args = [command, tmp_path / "run", *more.get(command, [])]
    capsys.readouterr()
    assert call(*args) == 0
    assert capsys.readouterr().err == ""
    np.savez(tmp_path / "d.npz", x=np.concatenate([x, x]), y=np.concatenate([y, y]))
    (tmp_path / "run" / "summary.json").unlink()
    assert call(*args) == 0
    notes = capsys.readouterr().err
    assert f"Note: {tmp_path}/run: the run has not finished" in notes
    assert ("the data has changed since the run" in notes) == (command != "predict")


def test_the_page_of_several_runs_is_for_several(runs, capsys, tmp_path):
    for args in (["--text", runs["images"], runs["sweep"]], [runs["images"]]):
        assert call("report", *args, "--output", tmp_path / "c.html") == 2
        assert "--output is for the page of several runs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_page_of_several_runs_is_written_where_it_is_asked_for(
    runs, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert call("report", runs["images"], runs["sweep"]) == 2
    needs = "Error: report of several runs needs --output FILE.html\n"
    assert capsys.readouterr().err == needs
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("summary.json", '{"kept_epoch": "x"}', 2),
        ("summary.json", "[]", 2),
        ("metrics.jsonl", '{"epoch": 1}', 2),
        ("sweep.json", '[{"settings": [1], "validation_accuracy": 1.0, "diverged": null}]', 2),
        ("sweep.json", "{", 2),
    ],
)
def test_a_damaged_file_of_a_run_is_one_line(runs, tmp_path, capsys, name, content, status):
    import shutil

    run = shutil.copytree(runs["images"], tmp_path / "run")
    (run / name).write_text(content)
    capsys.readouterr()
    assert call("report", run) == status
    assert capsys.readouterr().err.count("\n") == (status > 0)


def test_a_sweep_shows_its_grid(pages):
    page = pages["sweep"].read_text("utf-8")
    assert "The 6 models of the sweep" in page
    assert "2 diverged." in page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_in_a_browser(pages, runs, tmp_path, theme):
    compared = tmp_path / "comparison.html"
    assert call("report", runs["images"], runs["sweep"], "--output", compared) == 0
    with browser(tmp_path) as chrome:
        for path in [*pages.values(), compared]:
            scheme = [{"name": "prefers-color-scheme", "value": theme}]
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            chrome.get(path.as_uri())
            loaded = "return [...document.images].map(i => i.complete && i.naturalWidth > 100)"
            assert all(chrome.execute_script(loaded)), path
            wide = "return document.documentElement.scrollWidth <= window.innerWidth"
            assert chrome.execute_script(wide), path
            assert chrome.get_log("browser") == [], path
        events = [json.loads(e["message"])["message"] for e in chrome.get_log("performance")]
        urls = {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and event["params"]["documentURL"].startswith("file:")
        }
        assert compared.as_uri() in urls  # the log works
        assert all(url.startswith(("file:", "data:")) for url in urls)


def test_a_comparison_names_what_differs_and_the_best(runs, tmp_path):
    path = tmp_path / "a comparison.html"
    assert call("report", runs["images"], runs["one epoch"], "--output", path) == 0
    page = path.read_text("utf-8")
    differing = re.findall(r'<th scope="col"[^>]*>(training\.\w+|data\.\w+)</th>', page)
    assert differing == ["training.epochs"]
    assert page.count('class="number best"') >= 4


def test_no_run_is_the_best_on_other_data(runs, tmp_path):
    path = tmp_path / "a comparison.html"
    assert call("report", runs["images"], runs["two classes"], "--output", path) == 0
    page = path.read_text("utf-8")
    assert "number best" not in page
    assert "different data" in page


def test_without_matplotlib_one_line(runs, monkeypatch, capsys):
    import importlib.util

    capsys.readouterr()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert call("report", runs["images"]) == 2
    assert capsys.readouterr().err == (
        "Error: report needs matplotlib, found none: install backprop-cli[plot], or use "
        "report --text\n"
    )
    assert call("report", "--text", runs["images"]) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_text_fits_a_terminal_and_says_what_eval_says(runs, capsys, kind):
    capsys.readouterr()
    assert call("report", "--text", runs[kind]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert call("eval", runs[kind], "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert f"accuracy {100 * found['accuracy']:.2f} %   loss {found['loss']:.4f}" in out
    if kind == "images":
        numbers = [[int(n) for n in re.findall(r" +(\d+)", line)] for line in out.splitlines()[-5:]]
        assert [row[-5:] for row in numbers] == found["confusion"]


def test_a_sparkline_goes_from_the_lowest_block_to_the_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 80) == "▁▂▃▄▅▆▇█"
    assert sparkline([3, 3], 80) == "▁▁"
    assert sparkline([1, None, 0], 80) == "█ ▁"
    assert sparkline([None], 80) == ""
    assert len(sparkline(list(np.arange(1000.0)), 34)) == 34


def test_a_curve_has_its_points_at_their_epochs(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        "data: {format: synthetic, examples: 90, size: 4, classes: 3, validation: 20, test: 20}\n"
        f"training: {{epochs: 5, evaluate_every: 2}}\noutput: '{tmp_path}/run'\n"
    )
    assert call("train", "--config", config) == 0
    capsys.readouterr()
    assert call("report", "--text", tmp_path / "run") == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "loss, validation" in line]
    assert [mark == " " for mark in line[-5:]] == [True, False, True, False, False]


def test_train_writes_the_report(runs, tmp_path, capsys):
    config = runs["images"] / "config.yaml"
    capsys.readouterr()
    assert call("train", "--config", config, "--report", "--output", tmp_path / "run") == 0
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out
    assert (tmp_path / "run" / "report.html").exists()


def test_train_logs_for_tensorboard(runs, tmp_path):
    pytest.importorskip("tensorboardX", reason="needs the extra: tensorboard")
    config = runs["images"] / "config.yaml"
    assert call("train", "--config", config, "--tensorboard", "--output", tmp_path / "run") == 0
    (log,) = (tmp_path / "run" / "tensorboard").iterdir()
    content = log.read_bytes()
    for tag in (b"train/loss", b"validation/accuracy", b"learning_rate"):
        assert content.count(tag) == 3  # epochs
