"""What the page of the commands shows is what they print, but for the digits."""

import pathlib
import re
import shlex

from click.testing import CliRunner

from backprop_cli.cli.main import cli
from backprop_cli.errors import BackpropError

ROOT = pathlib.Path(__file__).parents[2]


def sample(command):
    """Return the command line of the first sample that runs ``backprop COMMAND``, and its lines."""
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    found = re.search(rf"^```\n\$ backprop ({command} .*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return shlex.split(found[1]), found[2].splitlines()


def without_digits(line):
    """Return the words of a line; numbers, whose digits depend on the machine, as #."""
    return re.sub(r"\w\[[\d, ]+\]|[-+]?\d[\d.]*(e[-+]\d+)?", "#", line).split()


def test_the_gradcheck_sample(monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments, shown = sample("gradcheck")
    arguments += ["--set", "compute.backend=numpy"]  # the sample is of an install without numba
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    printed = map(without_digits, result.stdout.splitlines())
    for line in shown:
        if line and line != "...":
            assert without_digits(line) in printed, line  # searches on from the line before


def test_the_gradcheck_sample_shows_every_kind_of_row():
    _, shown = sample("gradcheck")
    text = "\n".join(shown)
    for part in ("numpy, float32", "compared with", "graph, backward pass", "update rule"):
        assert part in text
    assert shown.count("...") >= 3


def test_the_sample_of_a_mistake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments, shown = sample("train")
    lines = ["data: {format: synthetic}", "training:", "  learning_rte: 0.1", "  epochs: 4.5"]
    pathlib.Path("mine.yaml").write_text("\n".join(lines), "utf-8")
    error = CliRunner().invoke(cli, arguments).exception
    assert isinstance(error, BackpropError)
    without_line_numbers = re.compile(r"^(Error: )?mine.yaml:\d+: ")
    assert [without_line_numbers.sub("", line) for line in error.lines()] == [
        without_line_numbers.sub("", line) for line in shown
    ]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120
