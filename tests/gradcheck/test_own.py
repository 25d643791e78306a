"""`gradcheck --against`: a right gradient passes, a mistake is found and named, one clear line."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys

import pytest

from backprop_cli.gradcheck import apart
from tests.command import call
from tests.gradcheck import students

CONFIG = """\
data: {format: synthetic, examples: 200, size: 5, classes: 3, validation: 20, test: 20}
l2: 0.01
training: {batch_size: 20}
"""


@pytest.fixture
def against_apart(run, tmp_path, monkeypatch):
    """Return a function that checks the text of a file: status, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)

    def check(text, *args, function="gradient"):
        (tmp_path / "mine.py").write_text(text)
        place = f"mine.py:{function}"
        return run("gradcheck", "--config", tmp_path / "config.yaml", "--against", place, *args)

    return check


@pytest.fixture
def against(against_apart, monkeypatch):
    """Return the same, with the file executed here, which is faster."""
    monkeypatch.setattr(apart, "call_apart", apart.call_here)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return against_apart


@pytest.mark.parametrize("name", students.RIGHT)
def test_a_right_gradient_passes(against, name):
    text, loss = students.RIGHT[name]
    status, out, _ = against(text, "--json", "--set", f"loss={loss}")
    found = json.loads(out)
    assert (status, found["agrees"], found["hints"], found["places"]) == (0, True, [], {})
    derivations = {row["derivation"] for row in found["rows"]}
    assert {"loop over examples", "graph, backward pass", "centred differences"} < derivations
    assert {row["derivation"] for row in found["rows"]} & {"numpy, float32", "compiled, float32"}


def test_a_flat_db_is_told(against):
    """Its numbers are right, but b - eta * db is a matrix: 3 x 1 and 3 give 3 x 3."""
    text, loss = students.RIGHT["a flat db"]
    status, out, _ = against(text, "--set", f"loss={loss}")
    assert (status, "Your gradient agrees." in out) == (0, True)
    assert (
        "Note: db has shape (3,), but b has (3, 1), so that b - eta * db would have (3, 3)" in out
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_row_says_what_it_is_judged_by(against, dtype):
    """A gradient in float64 to 1e-6; against an engine in float32, to 1e-4."""
    out = against(students.HEAD, "--set", f"model.dtype={dtype}")[1]
    for line in out.splitlines():
        if line.startswith("  dJ/d"):
            assert ("0.0001" if "float32" in line else "1e-06") in line
    assert ("(0.05 against the engine)" in " ".join(out.split())) == (dtype == "float32")


@pytest.mark.parametrize("name", students.NAMED)
def test_a_typical_mistake_is_named(against, name):
    text, loss, hint = students.NAMED[name]
    status, out, err = against(text, "--set", f"loss={loss}")
    assert (status, err) == (1, "")
    hints = [line.strip() for line in out.splitlines() if "Hint: " in line]
    assert len(hints) == 1, out  # one mistake, one hint
    assert hint in hints[0]
    assert "Your gradient DISAGREES:" in out


@pytest.mark.parametrize("name", students.UNNAMED)
def test_another_mistake_is_found_too(against, name):
    text, loss = students.UNNAMED[name]
    status, out, err = against(text, "--set", f"loss={loss}")
    assert (status, err) == (1, "")
    assert "Hint: " not in out
    assert "No typical mistake" in out


def test_the_wrong_row_and_column_are_listed(against):
    _, out, _ = against(students.UNNAMED["noise"][0])
    assert "dJ/dW is wrong in row 1 of 3 and column 2 of 75" in out
    marked = [line for line in out.splitlines() if line.startswith("!")]
    assert all("W[1, 2]" in line for line in marked)
    assert marked
    _, out, _ = against(students.NAMED["penalty on b"][0])
    assert "dJ/db is wrong in all 3 entries" in out
    assert "dJ/dW is wrong" not in out


def test_two_mistakes_have_two_hints(against):
    text = students.HEAD.replace("2 * lam * W", "lam * W").replace("G @ X.T / n", "G @ X.T")
    found = json.loads(against(text, "--json")[1])
    assert [hint.split(",")[0] for hint in found["hints"]] == [
        "dW: not divided by the number of examples",
        "dW: the factor 2 of the penalty",
    ]


@pytest.mark.parametrize("name", students.FAULTY)
def test_a_faulty_function_gives_one_line(against, name):
    text, words = students.FAULTY[name]
    status, out, err = against(text, "--json")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: mine.py")
    assert words in err


@pytest.mark.parametrize("name", students.FATAL)
def test_what_ends_a_process_does_not_end_the_command(against_apart, name, monkeypatch):
    text, words = students.FATAL[name]
    monkeypatch.setattr(apart, "TIME_LIMIT", 3 if name == "endless" else 60)
    status, out, err = against_apart(text, "--json")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(f"Error: mine.py:gradient: {words}")


def test_what_the_function_prints_is_not_part_of_the_json(tmp_path, capfd):
    (tmp_path / "config.yaml").write_text(CONFIG)
    text = students.HEAD.replace("    n =", "    print('hello')\n    n =")
    (tmp_path / "mine.py").write_text(text)
    place = f"{tmp_path}/mine.py:gradient"
    config = tmp_path / "config.yaml"
    assert call("gradcheck", "--config", config, "--against", place, "--json") == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["agrees"]
    assert err == "hello\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_one_while_the_function_runs(tmp_path, number):
    """As Ctrl-C does, the signal goes to both processes; the function's ends too."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    started = "    import os\n    print('at work', os.getpid(), flush=True)\n    while True: pass\n"
    (tmp_path / "mine.py").write_text(students.HEAD.replace("    n =", started + "    n ="))
    command = [sys.executable, "-m", "backprop_cli", "gradcheck", "--config",
               str(tmp_path / "config.yaml"), "--against", f"{tmp_path}/mine.py:gradient", "--json",
               ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    worker = int(process.stderr.readline().split()[-1])
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.strip() in ("Interrupted.", "Terminated.")
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_utf_16(run, tmp_path):
    (tmp_path / "mine.py").write_bytes(students.HEAD.encode("utf-16"))
    place = f"{tmp_path}/mine.py:gradient"
    status, out, err = run("gradcheck", "--config", "c.yaml", "--against", place)
    assert (status, out) == (2, "")
    assert "mine.py: expected UTF-8 text: found UTF-16; save it as UTF-8" in err


@pytest.mark.parametrize("place", ["mine.py", "mine.py:", ":gradient", "no_such.py:gradient"])
def test_a_place_that_is_none(run, place, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    status, out, err = run("gradcheck", "--config", tmp_path / "config.yaml", "--against", place)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert place.split(".py:")[0] in err


def test_the_nearest_function_is_named(against):
    assert "did you mean 'gradient'?" in against(students.HEAD, function="gradent")[2]


def test_weights_of_examples_are_refused(against):
    status, _, err = against(students.HEAD, "--set", "training.class_weights=[1, 2, 3]")
    assert status == 2
    assert "class_weights" in err


def test_without_l2_the_penalty_is_said_to_be_unchecked(against):
    text = students.NAMED["factor 2 of the penalty"][0]
    status, out, _ = against(text, "--set", "l2=0")
    assert (status, "the penalty is not checked" in out) == (0, True)


@pytest.mark.parametrize("outputs", [1, "per_class"])
def test_two_classes(against, outputs):
    text = students.HEAD
    if outputs == 1:
        text = text.replace("P = softmax(S)", "P = softmax(np.vstack([-S / 2, S / 2]))")
        text = text.replace("-(Y - P)", "(P - Y)[1:]")
    args = ("--set", "data.classes=2", "--set", f"model.outputs={outputs}")
    assert against(text, *args)[0] == 0
    status, out, _ = against(text.replace("G @ X.T / n", "G @ X.T"), *args)
    assert (status, "dW: not divided by" in out) == (1, True)


def test_the_template_is_a_file_that_runs_and_is_not_overwritten(run, against, tmp_path):
    path = tmp_path / "template.py"
    assert run("gradcheck", "--template", path)[0] == 0
    assert callable(runpy.run_path(str(path))["gradient"])
    status, out, _ = against(path.read_text())
    assert (status, "dW and db: 0 everywhere" in out) == (1, True)
    status, _, err = run("gradcheck", "--template", path)
    assert (status, "is there already" in err) == (2, True)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_or_folds(against, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = against(students.NAMED["sign"][0])
    assert max(map(len, out.splitlines())) <= columns
    assert "dJ/dW" in out
    assert out.count("loop over examples") == 2
