"""Names and values of strangers, where they are printed: no escapes, no forged lines, no floods."""

import csv
import pathlib
import re
import time

import numpy as np
import pytest
import yaml

from backprop_cli.cli.main import cli
from backprop_cli.errors import MAX_LINE, MAX_LINES, ConfigError, DataError

RED = "\x1b[31mred\x1b[0m\x9b2J\u202e"
FORGED = "a\nError: forged\r\u2028"


def is_plain(text):
    return all(sign.isprintable() or sign == "\n" for sign in text)


def test_nothing_but_one_module_prints():
    folder = pathlib.Path(cli.callback.__code__.co_filename).parent
    for file in folder.glob("*.py"):
        found = re.findall(r"click\.echo|\bprint\(|std(?:out|err)\.write", file.read_text())
        expected = {"output.py": 1, "mapped.py": 1, "signals.py": 1}.get(file.name, 0)
        assert len(found) == expected, file


@pytest.mark.parametrize("value", [RED, FORGED])
def test_a_value_of_a_runs_config_when_it_goes_on(run, config, tmp_path, value):
    assert run("train", "--config", config())[0] == 0
    (tmp_path / "run" / "summary.json").unlink()
    file = tmp_path / "run" / "config.yaml"
    tree = yaml.safe_load(file.read_text())
    tree["recorded"]["numpy"] = tree["recorded"]["backprop"] = value
    file.write_text(yaml.safe_dump(tree))
    status, out, err = run("train", "--resume", "--output", tmp_path / "run")
    assert (status, out) == (2, "")
    assert is_plain(err)
    assert [line.count("recorded.") for line in err.splitlines()] == [1, 1]


@pytest.mark.parametrize("value", [RED, FORGED])
def test_names_of_classes_everywhere(run, config, tmp_path, value):
    names = [value, "=1+1", "@SUM(A1)"]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)), np.array(names)[np.arange(60) % 3]
    file = config(x=x, y=y)
    np.save(tmp_path / "=in.npy", x)
    folder = tmp_path / "run"
    for args in (
        ("train", "--config", file, "--dry-run"),
        ("train", "--config", file),
        ("eval", folder),
        ("eval", folder, "--json"),
        ("report", folder, "--text"),
        ("predict", folder, "--input", tmp_path / "=in.npy"),
        ("predict", folder, "--input", tmp_path / "=in.npy", "--json"),
        ("explain", "--config", file),
        ("explain", "--config", file, "--dot"),
        ("gradcheck", "--config", file),
    ):
        status, out, err = run(*args)
        assert (status, err) == (0, ""), args
        assert is_plain(out), args
        assert not any(line.startswith("Error") for line in out.splitlines()), args


@pytest.mark.parametrize("command", ["predict", "predict top", "eval"])
def test_cells_of_a_table_are_no_formulas(run, config, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    names = [RED, "=1+1", "@SUM(A1)", "+x", "-2", "-x"]
    x = np.random.default_rng(0).standard_normal((60, 4))
    y = np.array(names)[np.arange(60) % 6]
    assert run("train", "--config", config(x=x, y=y))[0] == 0
    np.save("=in.npy", x)
    args = {
        "predict": ("predict", "run", "--input", "=in.npy"),
        "predict top": ("predict", "run", "--input", "=in.npy", "--top", "6"),
        "eval": ("eval", "run", "--split", "train"),
    }[command]
    assert run(*args, "--output", "t.csv")[0] == 0
    with pathlib.Path("t.csv").open(newline="") as stream:
        cells = {cell for row in csv.reader(stream) for cell in row}
    assert all(map(is_plain, cells))
    assert "-2" in cells
    for cell in cells:
        assert cell[:1] not in "=+@-" or re.fullmatch(r"-?[0-9.e-]+|", cell), cell
    assert {"'=1+1", "'@SUM(A1)", "'+x", "'-x"} <= cells


def test_errors_are_few_short_lines(monkeypatch, run):
    def fails(**kwargs):
        raise ConfigError(*(f"problem {k} {'x' * 9000}" for k in range(900)))

    monkeypatch.setattr(cli, "main", fails)
    status, _, err = run("train")
    assert status == 2
    lines = err.splitlines()
    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == f"Error: and {900 - MAX_LINES} more"
    assert max(map(len, lines)) < MAX_LINE + 20

    def fails_once(**kwargs):
        raise DataError("y" * 10**6)

    monkeypatch.setattr(cli, "main", fails_once)
    assert len(run("train")[2]) < MAX_LINE + 20


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"key{k}: 1\n" for k in range(80_000)),
        "".join(f"key{k}: 1\n" for k in range(20_000)),
        "l2: 1\n" * 24_000,
        f"training: {{class_weights: [{'1,' * 400_000}]}}\n",
        f"training: {{class_weights: [{'1,' * 20_000}]}}\n",
        f"data: {{classes: [{','.join(f'a{k}' for k in range(20_000))}]}}\n",
    ],
)
def test_a_config_of_many_mistakes_is_refused_soon(run, tmp_path, text):
    (tmp_path / "c.yaml").write_text("data: {format: synthetic}\n" * ("data" not in text) + text)
    start = time.process_time()
    status, _, err = run("train", "--config", tmp_path / "c.yaml")
    assert status == 2
    assert time.process_time() - start < 5
    assert len(err.splitlines()) <= MAX_LINES + 1
    assert len(err) < 20_000


def test_a_list_of_classes_is_as_long_as_a_number_of_them_may_be(refused, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((9, 2)), y=np.arange(9) % 3)
    for n, words in ((10_000, "leaves"), (10_001, "2 to 10000")):
        names = ", ".join(f"c{k}" for k in range(n))
        (tmp_path / "c.yaml").write_text(
            f"data: {{format: npy, path: {tmp_path}/d.npz, test: 900, classes: [{names}]}}\n"
        )
        refused("train", "--config", tmp_path / "c.yaml", words=[words])
