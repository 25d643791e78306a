"""The commands by name. Each is imported only when it is used, so that help is fast."""

from __future__ import annotations

import importlib

import click

from backprop_cli.cli.processes import TOGETHER, processes

COMMANDS = {
    "calibrate": "Fit the temperature of a run's probabilities.",
    "data": "Prepare files of data.",
    "eval": "Evaluate the model of RUN.",
    "explain": "Explain the gradient of one example, or of any function.",
    "export": "Write the model of RUN as a file of another library.",
    "gradcheck": "Check the gradient against other derivations.",
    "lr-range": "Find a learning rate by a range test.",
    "predict": "Classify new examples with the model of RUN.",
    "probe": "Train a linear probe on features and labels, without a config.",
    "report": "Show a run: pictures and a page, report.html, in its folder.",
    "sweep": "Train many settings in one pass.",
    "train": "Train a classifier.",
}
"""What each command does: the first sentence of its help."""

_MODULES = {
    "eval": "evaluate",
    "lr-range": "lr_range",
}  # where the module is not named like the command


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        name = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"backprop_cli.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of a command line; suggest a similar one if there is none."""
        if args[0] not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        else:
            processes.check(args[0])
            if processes.waits and args[0] not in TOGETHER:
                raise click.exceptions.Exit(0)  # and wait for rank 0 at the end
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
