"""``--help``: every option with its help, and nothing heavy imported for it."""

import importlib.util
import re
import subprocess
import sys

import click
import numpy as np
import pytest

from backprop_cli import __version__
from backprop_cli.cli.main import cli

CONTEXT = click.Context(cli)
COMMANDS = {name: cli.get_command(CONTEXT, name) for name in cli.list_commands(CONTEXT)}


def test_the_commands_of_the_contract_are_there():
    assert {"train", "eval", "gradcheck"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_option_is_listed_with_its_help(run, name, flag):
    status, out, err = run(name, flag)
    assert (status, err) == (0, "")
    words = " ".join(out.split())
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            for option in parameter.opts:
                assert option in words
            assert " ".join(parameter.help.split()) in words
        else:
            assert parameter.make_metavar(click.Context(COMMANDS[name])) in words
    assert COMMANDS[name].help.split("\n")[0].split(".")[0] in words


def test_every_command_is_listed_with_a_whole_line(run):
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    for name, command in COMMANDS.items():
        line = re.search(rf"^  {name} +(\S.*)$", out, re.MULTILINE)
        assert line, name
        assert line[1] == command.get_short_help_str(limit=100)


def test_help_imports_no_command():
    code = (
        "import sys; sys.argv = ['backprop', '--help']\n"
        "from backprop_cli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('backprop_cli')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = [".commands", ".main", ".mapped", ".output", ".processes", ".signals"]
    own = ["", ".cli", *(f".cli{name}" for name in own), ".errors"]
    assert done.stderr == f"{[f'backprop_cli{name}' for name in own]}\n"


def test_version(run):
    assert run("--version") == (0, f"backprop, version {__version__}\n", "")


def test_set_is_in_every_command_that_reads_a_config():
    for name in COMMANDS:
        options = {option for p in COMMANDS[name].params for option in p.opts}
        if "--config" in options:
            assert "--set" in options, name


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
)
def test_help_imports_nothing_heavy(args):
    code = (
        "import sys; sys.argv = ['backprop', *sys.argv[1:]]\n"
        "from backprop_cli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'yaml', 'tqdm', 'safetensors', 'scipy', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


def test_a_dry_run_imports_nothing_heavy(config):
    """Not even to name the engine that a long run will take."""
    code = (
        "import sys; sys.argv = ['backprop', 'train', '--dry-run', *sys.argv[1:]]\n"
        "from backprop_cli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'llvmlite', 'tqdm', 'scipy', 'matplotlib', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    file = config(x=np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32))
    options = ["--config", file, "--set", "training.epochs=1000000000"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
    if importlib.util.find_spec("numba") is not None:
        assert "backend: compiled" in done.stdout


def test_the_installed_command_is_the_module():
    done = subprocess.run(
        [sys.executable, "-m", "backprop_cli", "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"backprop, version {__version__}\n"
