"""A mapped file that ends early, outside of any command: what is said."""

import os
import subprocess
import sys

import pytest

_READ = """
import os, sys
import numpy as np
from backprop_cli.cli.mapped import tell_of_shortened_files
from backprop_cli.sources import WatchedFile
import pathlib
tell_of_shortened_files()
path = pathlib.Path("file")
mapped = np.memmap(path, np.float32, "r", shape=(20_000, 1))
watched = WatchedFile.opened(path) if sys.argv[1] == "known" else None
os.truncate(path, 0)
mapped[np.arange(2000)]
"""


@pytest.mark.skipif(os.name != "posix", reason="other systems lock files that are mapped")
@pytest.mark.parametrize(
    ("which", "line"),
    [
        ("known", "Error: file: became shorter while it was read\n"),
        (
            "unknown",
            "Error: a mapped file: became shorter while it was read, or could not be read\n",
        ),
    ],
)
def test_a_file_that_ends_early(tmp_path, which, line):
    (tmp_path / "file").write_bytes(bytes(80_000))
    done = subprocess.run(
        [sys.executable, "-c", _READ, which],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, line)
