"""Numbers that float32 would turn into others are refused, and float64 takes them."""

import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import ConfigError

SYNTHETIC = "data: {format: synthetic, classes: 2}\n"
SCHEDULE = "training.schedule={{kind: cosine, minimum: {}}}"

LOST = [
    # what is set, the key in the message, what float32 would make of it
    ("training.learning_rate=1e-50", "training.learning_rate", "0"),
    ("training.learning_rate=7e-46", "training.learning_rate", "0"),
    ("training.class_weights=[1, 1e-46]", "training.class_weights.1", "0"),
    ("training.momentum=0.99999999", "training.momentum", "1"),
    (SCHEDULE.format("1e-50"), "training.schedule.minimum", "0"),
    ("label_smoothing=1e-60", "label_smoothing", "0"),
    ("label_smoothing=0.99999999", "label_smoothing", "1"),
    ("model.initial_std=1e-50", "model.initial_std", "0"),
    ("l2=1e-50", "l2", "0"),
    ("l2=1.8e38", "l2", "too large"),
    ("model.initial_std=1e39", "model.initial_std", "too large"),
    ("training.learning_rate=1e39", "training.learning_rate", "too large"),
    ("training.class_weights=[1e39, 1]", "training.class_weights.0", "too large"),
]


@pytest.mark.parametrize(("override", "key", "becomes"), LOST)
def test_float32_cannot_hold_it(override, key, becomes):
    with pytest.raises(ConfigError) as refused:
        check_config(SYNTHETIC, "some.yaml", [override])
    (line,) = str(refused.value).splitlines()
    assert f": {key}: " in line or line.startswith(f"{key}: "), line
    assert line.endswith("; or set model.dtype: float64")
    wanted = "at most" if becomes == "too large" else f"does not round to {becomes},"
    assert wanted in line, line


@pytest.mark.parametrize(("override", "key", "becomes"), LOST)
def test_float64_takes_it(override, key, becomes):
    check_config(SYNTHETIC, "some.yaml", [override, "model.dtype=float64"])


@pytest.mark.parametrize(
    "override",
    [
        "training.learning_rate=1e-45",  # rounds to float32's smallest number, 1.4e-45
        "training.learning_rate=3.4e38",
        "training.class_weights=[1, 1e-45]",
        "training.class_weights=[1, 0]",
        "training.momentum=0.9999999",  # the next below 1 are 0.99999994 and 0.9999999
        "l2=1.7e38",
        "l2=0",
        SCHEDULE.format(0),
        "label_smoothing=1e-45",
        "model.initial_std=0",
        "model.initial_std=3.4e38",
    ],
)
def test_float32_holds_it(override):
    check_config(SYNTHETIC, "some.yaml", [override])


def test_an_l2_whose_double_is_infinite_is_refused():
    check_config(SYNTHETIC, "some.yaml", ["model.dtype=float64", "l2=8e307"])
    with pytest.raises(ConfigError, match=r"l2: twice that is infinite, found 1e\+308"):
        check_config(SYNTHETIC, "some.yaml", ["model.dtype=float64", "l2=1e308"])
