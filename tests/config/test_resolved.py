"""The resolved config is complete, and reads back as itself, whatever its strings are."""

import pathlib
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.config import Config, check_config, config_text, load_config

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

ODD = [
    "1e3", "1E-3", ".5", "5.", "+1", "-0", "007", "1_000", "0x10", "0o17", "0b1", "1:30", ".inf",
    "-.inf", ".nan", ".NaN", "true", "True", "TRUE", "false", "yes", "no", "on", "off", "y", "n",
    "null", "Null", "NULL", "~", "2024-01-01", "2024-01-01T00:00:00Z", "=", "<<", "-", "--", "---",
    "...", "?", ":", "a: b", "a:", ": a", "a #b", "#a", "&a", "*a", "!a", "!!str a", "%a", "@a",
    "`a", "|", ">", "|-", "[a", "]", "{a", "}", ",", "'", '"', "''", '""', "\\", "\\n", " ", "  a",
    "a  ", "\t", "\ta", "\n", "a\n", "\na", "a\nb", "a\n\nb", "a\n  b\n", "\r", "a\r\nb", "\x85",
    "\u2028", "\u2029", "\ufeff", "\ufeffa", "\x1b[31m", "\x7f", "\xa0", "é", "ß", "漢字",
    "☃", "😀", "\U0010ffff", "\ufffe", "e\u0301", "a" * 300, "ab " * 100, "\u202e", "1e3\n", "no ",
]  # fmt: skip


def with_text(names, path):
    data = {"format": "npy", "path": path, "classes": names, "validation": path}
    return Config.model_validate({"data": data, "output": path})


def read_back(config):
    return check_config(config_text(config).encode("utf-8"), "config.yaml")


@pytest.mark.parametrize("text", ODD)
def test_an_odd_string_reads_back_as_itself(text):
    config = with_text([text, "other"], text)
    found = read_back(config)
    assert found == config
    assert found.data.classes == [text, "other"]
    assert (found.data.path, found.data.validation, found.output) == (text, text, text)


SETTINGS = settings(derandomize=True, deadline=None)
SIGNS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")  # no path has it
STRINGS = st.text(SIGNS, min_size=1, max_size=30) | st.text(
    alphabet="0123456789eE+-._:#'\" \n\t&*!|>%@`,[]{}?=<ntrueyosfalINF", min_size=1, max_size=12
)


@SETTINGS
@given(st.lists(STRINGS, min_size=2, max_size=4, unique=True), STRINGS)
def test_any_string_reads_back_as_itself(names, path):
    config = with_text(names, path)
    assert read_back(config) == config


@SETTINGS
@given(
    st.floats(min_value=0, max_value=8e307, exclude_min=True),
    st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True),
    st.integers(0, 10**20 - 1),
    st.lists(st.floats(0, 1e300), min_size=1, max_size=4),
)
def test_any_number_reads_back_as_itself(rate, fraction, seed, weights):
    training = {"learning_rate": rate, "seed": seed, "momentum": fraction}
    if any(weights):
        training["class_weights"] = weights
    config = Config.model_validate(
        {
            "data": {"format": "synthetic", "validation": fraction},
            "model": {"dtype": "float64"},
            "l2": rate,
            "training": training,
        }
    )
    assert read_back(config) == config


FULL: dict[str, dict[str, Any]] = {
    "cifar10": {"path": "a", "train": ["b", "c"], "test": 0},
    "cifar100": {"path": "a", "labels": "coarse", "validation": "test"},
    "idx": {"path": "a", "classes": ["no", "yes"]},
    "npy": {"path": "a.npy", "labels": "b.npy", "classes": 3, "test": 0.25},
    "synthetic": {"channels": 1, "limit": 3, "stratified": True},
}


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("kind", ["constant", "step", "cosine", "cyclical"])
def test_every_format_and_schedule_reads_back(name, kind):
    config = Config.model_validate(
        {
            "data": {"format": name, **FULL[name]},
            "model": {"outputs": 1},
            "training": {"schedule": {"kind": kind}, "early_stopping": {}, "learning_rate": 1},
        }
    )
    assert read_back(config) == config


def test_the_resolved_config_names_every_key():
    resolved = yaml.safe_load(config_text(check_config("data: {format: synthetic}", "t")))
    assert set(resolved) == set(Config.model_fields)
    for section in ("data", "model", "training"):
        assert set(resolved[section]) == set(
            type(getattr(check_config("data: {format: synthetic}", "t"), section)).model_fields
        )
    assert resolved["training"]["schedule"] == {"kind": "cosine", "minimum": 0.0}


PRESETS = sorted(CONFIGS.rglob("*.yaml"))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_preset_reads_back(preset):
    config = load_config(preset)
    assert read_back(config) == config


def test_a_config_does_not_change():
    config = check_config("data: {format: synthetic}", "t")
    with pytest.raises(ValueError, match="frozen"):
        config.l2 = 3.0  # type: ignore[misc]  # what is tested
