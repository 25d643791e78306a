"""The grids and ranges of ``backprop sweep``."""

from __future__ import annotations

import json
from typing import Any

from backprop_cli.config import parse_values
from backprop_cli.errors import ConfigError
from backprop_cli.runs.settings import KEYS, REAL_KEYS


def parse_axes(option: str, texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return key -> values from texts ``KEY=V1,V2``.

    Raises
    ------
    ConfigError
        If a key cannot be swept or is given twice, or there is no list of values.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, listing = text.partition("=")
        label = f"{option} {text}"
        if not equals:
            raise ConfigError(f"{label}: expected KEY=V1,V2, as in l2=0,1e-3")
        if key not in KEYS:
            raise ConfigError(
                f"{label}: {key!r} cannot be swept; expected one of {', '.join(KEYS)}"
            )
        if key in axes:
            raise ConfigError(f"{label}: {key} is given twice")
        if listing.lstrip().startswith(",") or ",," in listing.replace(" ", ""):
            raise ConfigError(f"{label}: expected a value before each comma")
        axes[key] = parse_values(listing, label)
    return axes


def check_axes(
    values: dict[str, list[Any]], bounds: dict[str, list[Any]], sample: int | None
) -> None:
    """Check that grids and ranges fit together.

    Parameters
    ----------
    values
        The values of each ``--grid`` key.
    bounds
        The values of each ``--range`` key.
    sample
        How many settings to draw, or None for every combination.

    Raises
    ------
    ConfigError
        If they do not, or there is nothing to sweep.
    """
    if not values and not bounds:
        raise ConfigError(
            "a sweep needs --grid KEY=V1,V2,... or, with --sample, --range KEY=LOW,HIGH"
        )
    if bounds and sample is None:
        raise ConfigError("--range needs --sample N: how many settings to draw")
    for key, given in values.items():
        for number, value in enumerate(given):
            # In Python True equals 1, but a key accepts only one of the two.
            if any(value == v and (value is True) is (v is True) for v in given[:number]):
                raise ConfigError(f"--grid {key}: {json.dumps(value)} is given twice")
    for key, pair in bounds.items():
        if key not in REAL_KEYS:
            raise ConfigError(
                f"--range {key}: expected one of {', '.join(REAL_KEYS)}; give the values of "
                f"{key} by --grid"
            )
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in pair)
        if len(pair) != 2 or not numbers or not 0 < pair[0] < pair[1] < float("inf"):
            found = ",".join(map(str, pair))
            raise ConfigError(f"--range {key}={found}: expected LOW,HIGH with 0 < LOW < HIGH")
        if key in values:
            raise ConfigError(f"--range {key}: {key} has a --grid too")
