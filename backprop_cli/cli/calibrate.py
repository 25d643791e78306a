"""``backprop calibrate``."""

from __future__ import annotations

import json
import pathlib

import click

from backprop_cli.cli.evaluate import check_overrides
from backprop_cli.cli.notes import note_other_data, note_unfinished
from backprop_cli.cli.options import data_set_option, json_option


@click.command()
@click.argument("run", type=click.Path())
@data_set_option
@json_option
def calibrate(run: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Fit the temperature of a run's probabilities.

    It is fitted on the validation split, so that of what is decided with 70 %, 70 % is right. It
    goes to calibration.json in the run's folder; report and predict use it. No decision
    changes. Needs scipy (the extra: calibrate).
    """
    import numpy as np

    from backprop_cli.engine import class_scores
    from backprop_cli.errors import DataError
    from backprop_cli.evaluation.reliability import reliability
    from backprop_cli.formats import load_dataset
    from backprop_cli.runs.calibration import FILE_NAME, fit_temperature, save_calibration
    from backprop_cli.runs.run_directory import load_run, model_digest

    check_overrides(overrides, "calibrate")
    config, model = load_run(run, overrides)
    dataset = load_dataset(config.data, model.weights.dtype, model.class_names)
    note_unfinished(run)
    if not overrides:
        note_other_data(run, config, dataset)
    split = dataset.validation
    if split is None:
        raise DataError("data.validation: a temperature is fitted on validation, found none")
    labels = split.own_labels()
    scores = class_scores(model.scores(split.features, split.rows)).T
    temperature = fit_temperature(scores, labels)
    content: dict[str, object] = {
        "temperature": temperature,
        "fitted_on": len(split),
        "model_sha256": model_digest(pathlib.Path(run)),
    }
    for name, part in (("validation", dataset.validation), ("test", dataset.test)):
        if part is None:
            continue
        truth = part.own_labels()
        for when, value in (("before", 1.0), ("after", temperature)):
            P, decisions = model.predict(part.features, part.rows, value)
            found = reliability(P[np.arange(len(P)), decisions], decisions == truth)
            content[f"{name}_calibration_error_{when}"] = found.error
    save_calibration(pathlib.Path(run), content)
    if as_json:
        click.echo(json.dumps({"run": run, **content}))
        return
    click.echo(f"temperature {temperature:.4g}, fitted on {len(split)} validation examples")
    for name in ("validation", "test"):
        before = content.get(f"{name}_calibration_error_before")
        after = content.get(f"{name}_calibration_error_after")
        if isinstance(before, float) and isinstance(after, float):
            click.echo(f"{name:<12}calibration error {100 * before:.2f} %, now {100 * after:.2f} %")
    if not 1e-2 < temperature < 1e3:
        click.echo("so far from 1, it says that the scores tell little of the classes")
    click.echo(f"written to {pathlib.Path(run) / FILE_NAME}")
