"""``backprop calibrate``."""

from __future__ import annotations

import click

from backprop_cli.cli.messages import print_notes
from backprop_cli.cli.options import data_set_option, json_option
from backprop_cli.cli.output import show
from backprop_cli.jsontext import to_json


@click.command()
@click.argument("run", type=click.Path())
@data_set_option
@json_option
def calibrate(run: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Fit the temperature of a run's probabilities.

    It is fitted on the validation split, so that of the decisions made with 70 % confidence,
    70 % are right, and written to calibration.json in the run directory. report and predict use
    it. No decision changes. Needs scipy (the extra: calibrate).
    """
    from backprop_cli.atomic import refuse_unwritable
    from backprop_cli.cli.progress import reading_bar
    from backprop_cli.runs.calibration import FILE_NAME, save_calibration
    from backprop_cli.runs.calibration import calibrate as fit
    from backprop_cli.runs.opened import open_run

    with reading_bar() as tell:
        opened = open_run(run, overrides, tell)
    refuse_unwritable(opened.path / FILE_NAME)
    print_notes(run, opened.notes())
    found = fit(opened)
    path = save_calibration(opened.path, found)
    if as_json:
        show(to_json({"run": run, **found.to_mapping()}))
        return
    temperature, n = found.temperature, found.fitted_on
    show(f"temperature {temperature:.4g}, fitted on {n} validation examples")
    for split, (before, after) in found.errors.items():
        show(f"{split:<12}calibration error {100 * before:.2f} %, now {100 * after:.2f} %")
    if not 1e-2 < temperature < 1e3:
        show("so far from 1, it means that the scores say little about the classes")
    show(f"written to {path}")
