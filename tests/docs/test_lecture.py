"""Every command of the table of the lecture runs and shows what its row says."""

import pathlib
import re
import shlex

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (.*?) \| `backprop (.*?)`",
    (ROOT / "docs" / "lecture.md").read_text("utf-8"),
    re.MULTILINE,
)
SHOWN = {
    "linear with one output": ["t = (−s/2, +s/2)"],
    "linear with several outputs": ["z = W x", "s = z + b", "p = exp(s)", "l = −yᵀ log(p)"],
    "the chain rule: h": ["u1 = x²", "u2 = sin(u1)", "1.235"],
    "the composition of n": ["∂u4/∂u3 ∂u3/∂u2"],
    "forward mode and reverse": ["forward mode", "reverse mode", "∂u4/∂x"],
    "2m²d + md": ["2m²d + md = 3,900", "2m² + md = 372"],
    "the chain rule for vectors": ["∂u1/∂x = W (3 × 4)", "∂u2/∂u1 = diag(1 − u2²) (3 × 3)"],
    "several children": ["∂u5/∂x = ∂u5/∂u1 ∂u1/∂x + ∂u5/∂u3 ∂u3/∂x"],
    "EvaluateGraphFn": ["ComputeBranch: ", "BackOp: ", "too early"],
    "the same on a graph": ["again"],
    "each Jacobian": ["∂p/∂s = diag(p) − p pᵀ", "∂z/∂W = I_C ⊗ xᵀ", "−(y − p)ᵀ"],
    "regularization": ["2 λ W", "norms of the terms"],
    "the multi-class SVM": ["violated"],
    "a network": ["max(0, u2)"],
    "a mini-batch": ["G Xᵀ / n"],
    "the loop over": ["G Xᵀ / n"],
    "your own gradient": ["0 everywhere: it is not computed"],  # the template, not filled in
    "the gradient is right": ["loop over examples", "The gradients agree."],
}


def test_there_is_a_row_for_each_step():
    assert len(ROWS) >= 15
    for what, _ in ROWS:
        assert any(what.startswith(start) for start in SHOWN), what


@pytest.mark.parametrize(("what", "command"), ROWS, ids=[what[:30] for what, _ in ROWS])
def test_a_command_shows_its_step(run, monkeypatch, tmp_path, what, command):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "120")
    if "mine.py" in command:
        assert run("gradcheck", "--template", tmp_path / "mine.py")[0] == 0
        command = command.replace("mine.py", f"{tmp_path}/mine.py")
    status, out, err = run(*shlex.split(command))
    assert (status, err) == (int("mine.py" in command), "")
    words = " ".join(out.split())
    for part in next(parts for start, parts in SHOWN.items() if what.startswith(start)):
        assert part in words, part
