"""The commands by name; each is imported when it is used, so that help comes at once."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "calibrate": "Fit the temperature of a run's probabilities.",
    "eval": "Evaluate the model of RUN.",
    "explain": "Explain one example's gradient.",
    "gradcheck": "Check the gradient against other derivations.",
    "predict": "Classify new examples with the model of RUN.",
    "report": "Show a run: pictures and a page, report.html, in its folder.",
    "sweep": "Train many settings in one pass.",
    "train": "Train a classifier.",
}
"""What each command does, in the first sentence of its own help."""

_MODULES = {"eval": "evaluate"}  # a builtin's name, elsewhere the command's


class Commands(click.Group):
    """The group of them all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command from the module of its name."""
        if cmd_name not in COMMANDS:
            return None
        name = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"backprop_cli.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
