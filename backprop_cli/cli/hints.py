"""What was probably meant by an option or an argument that a command does not take."""

from __future__ import annotations

import pathlib
import re

import click

_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*?)\)")


def with_way_out(error: click.ClickException) -> click.ClickException:
    """Return the error, with what to write instead where that is known."""
    if isinstance(error, click.NoSuchOption):
        key = _key(error.option_name.lstrip("-").partition("=")[0].replace("-", "_"))
        if key and _takes(error, "overrides"):
            text = f"No such option {error.option_name!r}. Write --set {key}=VALUE."
            return click.UsageError(text, error.ctx)
    elif isinstance(error, click.UsageError) and (found := _EXTRA.match(error.message)):
        argument = found[1].split(" ")[0]
        config = argument
        if (pathlib.Path(argument) / "config.yaml").is_file():
            config = str(pathlib.Path(argument) / "config.yaml")
        if config.endswith((".yaml", ".yml")) and _takes(error, "config_file"):
            return click.UsageError(f"{error.message}. Write --config {config}.", error.ctx)
    return error


def _takes(error: click.UsageError, name: str) -> bool:
    """Whether the command takes a parameter."""
    command = None if error.ctx is None else error.ctx.command
    return command is not None and any(parameter.name == name for parameter in command.params)


def _key(word: str) -> str | None:
    """Return the config key that an option like --epochs or --lr stands for."""
    from backprop_cli.config.schema import SECTIONS

    word = {"lr": "learning_rate", "lambda": "l2"}.get(word, word)
    for section in ("", "training", "data", "model", "compute"):
        if section in SECTIONS and word in SECTIONS[section].model_fields:
            return f"{section}.{word}" if section else word
    return None
