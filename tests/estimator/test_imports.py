"""The package where scikit-learn is missing, too old, or not asked for."""

import subprocess
import sys

BLOCKED = """
import sys
sys.modules["sklearn"] = None
import backprop_cli
assert "numpy" not in sys.modules
try:
    backprop_cli.LinearClassifier
except ModuleNotFoundError as error:
    print(error)
"""


def test_without_scikit_learn_the_package_works():
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == (
        "LinearClassifier needs scikit-learn, found none: install backprop-cli[sklearn]\n"
    )


def test_a_scikit_learn_that_is_too_old_is_told(tmp_path):
    """One that lacks what the estimator imports, as far as Python can see."""
    for name, text in (
        ("sklearn/__init__.py", ""),
        ("sklearn/base.py", "class BaseEstimator: pass"),
        ("scikit_learn-0.24.dist-info/METADATA", "Name: scikit-learn\nVersion: 0.24\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import backprop_cli.estimator"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: LinearClassifier needs scikit-learn>=1.9, found 0.24: "
        "install backprop-cli[sklearn]"
    )


def test_importing_the_package_imports_no_scikit_learn():
    code = "import sys, backprop_cli; print([m for m in sys.modules if m in ('sklearn', 'numpy')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"
