"""Running the command line, in this process and in one of its own."""

import sys

import numpy as np
import pytest

from backprop_cli.cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command line here: status, stdout, stderr."""

    def command(*args):
        monkeypatch.setattr(sys, "argv", ["backprop", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return command


@pytest.fixture
def refused(run):
    """Return a function that expects one line on stderr, exit 2, and nothing on stdout."""

    def command(*args, words=()):
        status, out, err = run(*args)
        assert (status, out) == (2, ""), err
        assert err.startswith("Error: ")
        assert len(err.splitlines()) == 1, err
        for word in words:
            assert word in err, err
        return err

    return command


@pytest.fixture
def config(tmp_path):
    """Return a function that writes a config of 60 examples of four features, three classes."""

    def write(more="", x=None, y=None):
        rng = np.random.default_rng(0)
        labels = np.arange(60) % 3 if y is None else y
        features = rng.standard_normal((60, 4)) + labels[:, None] if x is None else x
        np.savez(tmp_path / "d.npz", x=features, y=labels)
        path = tmp_path / "config.yaml"
        path.write_text(
            f"data: {{format: npy, path: '{tmp_path}/d.npz', validation: 12, test: 12}}\n"
            f"training: {{epochs: 2, batch_size: 10}}\noutput: '{tmp_path}/run'\n{more}"
        )
        return path

    return write
