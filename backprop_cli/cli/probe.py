"""``backprop probe``."""

from __future__ import annotations

import importlib.util
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from backprop_cli.cli.messages import (
    candidate_table,
    print_how_to_resume,
    shell_word,
    shown_path,
    titled,
    wrapped,
)
from backprop_cli.cli.options import json_option, packed, set_option
from backprop_cli.cli.output import show
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.runs.probe import Probed

_SHOWN = 5  # models in the table; sweep.json has all


@dataclass(frozen=True)
class ProbeOptions:
    """The options of ``backprop probe``."""

    features: str
    labels: str | None
    test: str | None
    test_labels: str | None
    labels_column: str | None
    groups: str | None
    refit: bool
    seeds: int
    folds: int | None
    output: str | None
    overrides: tuple[str, ...]
    as_json: bool


@click.command()
@click.argument("features", metavar="FEATURES", type=click.Path())
@click.argument("labels", metavar="[LABELS]", required=False, type=click.Path())
@click.option(
    "--test", metavar="FILE", type=click.Path(), help="Test features; default: a fifth of FEATURES."
)
@click.option("--test-labels", metavar="FILE", type=click.Path(), help="Their labels.")
@click.option(
    "--labels-column", metavar="NAME", help="The column of LABELS that holds them, if it is a .csv."
)
@click.option(
    "--groups",
    metavar="FILE",
    type=click.Path(),
    help="The group of each example; no group is in two splits.",
)
@click.option("--refit", is_flag=True, help="Train the winner on training and validation examples.")
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Repeat on so many random splits; print mean and standard deviation of test accuracy. "
    "With --test, only the validation examples differ, or the folds.",
)
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    help="Choose l2 by K-fold cross-validation, then train on all but the test examples.",
)
@click.option("--output", metavar="DIR", type=click.Path(), help="The run directory.")
@set_option
@json_option
@packed(ProbeOptions)
def probe(options: ProbeOptions) -> None:
    """Train a linear probe on features and labels, without a config.

    FEATURES is an .npy with a row per example, and LABELS an .npy, .txt or .csv with its label;
    or FEATURES is an .npz, .safetensors or .parquet with both.

    Features are standardized. A fifth of the examples is for test, a fifth for validation, each
    with the same shares of the classes. l2 is chosen on validation, from a grid that L-BFGS walks
    from the largest value; where that would take minutes, on a part of the examples first. The
    winner is trained to its optimum, and evaluated once on test. Its run directory, runs/probe by
    default, is an ordinary one, with what was tried in sweep.json.
    --set training.solver=sgd trains the grid by mini-batch descent instead, side by side.
    """
    from backprop_cli.cli.progress import ProgressBar
    from backprop_cli.cli.signals import stops
    from backprop_cli.runs.probe import Protocol, probe_config, run_probe
    from backprop_cli.runs.session import Interrupted

    config = probe_config(_files(options), options.overrides, options.output)
    protocol = Protocol(options.refit, options.folds, options.seeds)
    try:
        with stops.deferred(), ProgressBar(stops) as progress:
            found = run_probe(config, protocol, progress)
    except Interrupted as stop:
        print_how_to_resume(stop, "train")
        raise click.exceptions.Exit(stops.exit_status) from None
    except KeyboardInterrupt:
        show("Interrupted. The same command starts over.", err=True)
        raise click.exceptions.Exit(stops.exit_status) from None
    show(to_json(_mapping(found)) if options.as_json else _text(found, options.folds))


def _files(options: ProbeOptions) -> dict[str, str | None]:
    """Return the keys of the data section; refuse files that do not go together."""
    for features, labels, names in (
        (options.features, options.labels, ("FEATURES", "LABELS")),
        (options.test, options.test_labels, ("--test", "--test-labels")),
    ):
        if features is None:
            if labels is not None:
                raise click.UsageError(f"{names[1]} goes with {names[0]}, which is not given")
        elif labels is None and features.endswith(".npy"):
            raise click.UsageError(
                f"expected {names[1]}, the labels that go with {features}; an .npy has none"
            )
    return {
        "path": options.features,
        "labels": options.labels,
        "labels_column": options.labels_column,
        "test": options.test,
        "test_labels": options.test_labels,
        "groups": options.groups,
    }


def _mapping(found: Probed) -> dict[str, Any]:
    models = [candidate.to_mapping() for candidate in found.tried]
    own = [winner.test_accuracy for winner in found.winners]
    return {
        "models": models,
        "first_part": None if found.first_part is None else vars(found.first_part),
        "settings": {"l2": found.config.l2},
        "winner": found.result.to_mapping(),
        "test_accuracies": own,
        "l2_of_splits": [winner.l2 for winner in found.winners],
        "test_accuracy_mean": statistics.fmean(own) if own else None,
        "test_accuracy_std": statistics.stdev(own) if len(own) > 1 else None,
        "notes": found.notes,
    }


def _text(found: Probed, folds: int | None) -> str:
    from backprop_cli.evaluation.wording import measure_lines
    from backprop_cli.runs.penalty import SEARCH_TOLERANCE

    result, tried = found.result, found.tried
    plots = importlib.util.find_spec("matplotlib") is not None
    lines = [wrapped(_title(found, folds)), candidate_table(tried[:_SHOWN], result.ending.unit)]
    if result.ending.unit == "step":
        lines.append(
            wrapped(
                f"(the search stops at a gap of about {SEARCH_TOLERANCE:g} of the cost, the "
                f"winner's training at {found.config.training.tolerance:g}: figures below may "
                "differ)"
            )
        )
    for name, evaluation in (("validation", result.validation), ("test", result.test)):
        if evaluation is not None:
            n = evaluation.n_examples
            examples = f"{n} example{'' if n == 1 else 's'}"
            lines += ["", f"{name}: {examples}", *measure_lines(evaluation)]
    lines += ["(in brackets: 95 % confidence intervals)", ""]
    if len(found.winners) > 1:
        lines += _splits(found)
    lines += [
        f"{'winner':<12}l2 {found.config.l2:g}",
        titled("training", result.ending.line()),
        f"{'run':<12}{shown_path(result.path)}",
        f"{'report':<12}backprop report {shell_word(result.path)}{'' if plots else ' --text'}",
        *(titled("note", note) for note in found.notes),
    ]
    return "\n".join(lines)


def _title(found: Probed, folds: int | None) -> str:
    """Return the line above the table of what was tried."""
    values, n = [candidate.settings["l2"] for candidate in found.tried], len(found.tried)
    title = f"{n} values of l2 tried, from {max(values):g} to {min(values):g}"
    if n == 1:
        title = f"1 value of l2 tried, {values[0]:g}"
    best = "" if n <= _SHOWN else f", the best {_SHOWN}"
    return f"{title}{best}{'' if folds is None else f'; means over {folds} folds'}:"


def _splits(found: Probed) -> list[str]:
    """Return lines on the test accuracy over several splits, and on what differs between them."""
    own, varied = [winner.test_accuracy for winner in found.winners], found.varied
    values = sorted({winner.l2 for winner in found.winners})
    chosen = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
    mean, spread = 100 * statistics.fmean(own), 100 * statistics.stdev(own)
    figure = (
        f"test accuracy {mean:.2f} % on average of {len(own)} {varied.what}, "
        f"standard deviation {spread:.2f}"
    )
    if varied.only_l2 and len(values) == 1:  # a deviation of 0 would be read as certainty
        figure = f"test accuracy {100 * own[0]:.2f} % with each of {len(own)} {varied.what}"
    remarks = [f"l2 {chosen}"]
    if varied.same_test:
        what = "training and test examples" if varied.only_l2 else "test examples"
        remarks.append(f"{what} are the same each time")
    if len(values) > 1 or not varied.only_l2:
        remarks.append("figures above are of the first")
    return [titled("splits", figure), titled("", f"({'; '.join(remarks)})")]
