"""The JSON schema for editors, and the presets."""

import json
import pathlib
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from backprop_cli.config import check_config, config_text, load_config
from backprop_cli.config.data import Cifar10Data
from backprop_cli.errors import ConfigError

ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = ROOT / "backprop_cli" / "config" / "schema.json"
PRESETS = sorted((ROOT / "configs").rglob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


def preset_name(path):
    return str(path.relative_to(ROOT / "configs"))


def test_the_shipped_schema_is_that_of_the_code():
    # pydantic before 2.11 writes the same schema in other words, so `dev` asks for a later one.
    printed = subprocess.run(
        [sys.executable, "-m", "backprop_cli.config", "schema"], capture_output=True, check=True
    )
    assert printed.stdout == SCHEMA.read_bytes()
    assert printed.stderr == b""


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)


def test_there_are_the_presets_that_were_asked_for():
    names = {preset_name(path) for path in PRESETS}
    wanted = {"quickstart.yaml", "fashion-mnist.yaml", "cifar10-softmax.yaml", "cifar10-svm.yaml"}
    for loss in ("softmax", "svm"):
        for setting in ("lambda0-eta0.1", "lambda0-eta0.001", "lambda0.1-eta0.001",
                        "lambda1-eta0.001"):  # fmt: skip
            wanted.add(f"dd2424/{loss}-{setting}.yaml")
    assert wanted <= names


@pytest.mark.parametrize("preset", PRESETS, ids=preset_name)
def test_a_preset_is_valid(preset):
    text = preset.read_text("utf-8")
    VALIDATOR.validate(yaml.safe_load(text))
    config = load_config(preset)
    VALIDATOR.validate(yaml.safe_load(config_text(config)))
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named, "an editor is told of the schema in the first line"
    assert (preset.parent / named[1]).resolve() == SCHEMA


@pytest.mark.parametrize("loss", ["softmax", "svm"])
@pytest.mark.parametrize(
    ("name", "l2", "rate"),
    [
        ("lambda0-eta0.1", 0, 0.1),
        ("lambda0-eta0.001", 0, 0.001),
        ("lambda0.1-eta0.001", 0.1, 0.001),
        ("lambda1-eta0.001", 1, 0.001),
    ],
)
def test_the_course_presets_are_what_their_names_say(loss, name, l2, rate):
    config = load_config(ROOT / "configs" / "dd2424" / f"{loss}-{name}.yaml")
    losses = {"softmax": "softmax_cross_entropy", "svm": "multiclass_svm"}
    assert (config.loss, config.l2, config.training.learning_rate) == (losses[loss], l2, rate)
    assert (config.training.epochs, config.training.batch_size) == (40, 100)
    assert isinstance(config.data, Cifar10Data)
    assert (config.data.train, config.data.validation) == (["data_batch_1"], "data_batch_2")


def test_presets_write_to_folders_of_their_own():
    outputs = [load_config(preset).output for preset in PRESETS]
    assert len(set(outputs)) == len(outputs)


# What both the schema and the program must take, or must refuse.
BOTH = [
    (True, {"data": {"format": "synthetic"}}),
    (True, {"data": {"format": "synthetic", "validation": 0.5, "test": None}}),
    (True, {"data": {"format": "npy", "path": "a", "validation": "b.npz", "classes": 3}}),
    (True, {"data": {"format": "cifar10", "path": "a", "train": ["b"]}, "l2": 1}),
    (True, {"data": {"format": "synthetic"}, "training": {"schedule": {"kind": "step"}}}),
    (True, {"data": {"format": "synthetic"}, "training": {"class_weights": "balanced"}}),
    (True, {"data": {"format": "synthetic"}, "training": {"early_stopping": {"patience": 1}}}),
    (True, {"data": {"format": "synthetic"}, "model": {"outputs": 1}}),
    (False, {}),
    (False, []),
    (False, {"data": {}}),
    (False, {"data": {"format": "idx"}}),
    (True, {"data": {"format": "cifar10"}}),
    (False, {"data": {"format": "npz", "path": "a"}}),
    (False, {"data": {"format": "synthetic", "path": "a"}}),
    (False, {"data": {"format": "synthetic", "validation": -1}}),
    (False, {"data": {"format": "synthetic", "validation": 1.5}}),
    (False, {"data": {"format": "synthetic", "validation": ""}}),
    (False, {"data": {"format": "synthetic", "validation": True}}),
    (False, {"data": {"format": "synthetic", "limit": 0}}),
    (False, {"data": {"format": "synthetic", "channels": True}}),
    (False, {"data": {"format": "npy", "path": "", "classes": 3}}),
    (False, {"data": {"format": "npy", "path": "a", "classes": 1}}),
    (False, {"data": {"format": "npy", "path": "a", "classes": ["b", "b"]}}),
    (False, {"data": {"format": "cifar10", "path": "a", "train": []}}),
    (False, {"data": {"format": "synthetic"}, "los": "multiclass_svm"}),
    (False, {"data": {"format": "synthetic"}, "loss": "hinge"}),
    (False, {"data": {"format": "synthetic"}, "l2": -1}),
    (False, {"data": {"format": "synthetic"}, "l2": "1"}),
    (False, {"data": {"format": "synthetic"}, "model": {"outputs": 2}}),
    (False, {"data": {"format": "synthetic"}, "model": {"outputs": True}}),
    (False, {"data": {"format": "synthetic"}, "label_smoothing": 1}),
    (False, {"data": {"format": "synthetic"}, "training": {"epochs": 0}}),
    (False, {"data": {"format": "synthetic"}, "training": {"momentum": 1}}),
    (False, {"data": {"format": "synthetic"}, "training": {"learning_rate": 0}}),
    (False, {"data": {"format": "synthetic"}, "training": {"nesterov": 1}}),
    (False, {"data": {"format": "synthetic"}, "training": {"schedule": {}}}),
    (False, {"data": {"format": "synthetic"}, "training": {"schedule": {"kind": "steps"}}}),
    (False, {"data": {"format": "synthetic"},
             "training": {"schedule": {"kind": "step", "factor": 2}}}),
    (False, {"data": {"format": "synthetic"}, "training": {"class_weights": []}}),
    (False, {"data": {"format": "synthetic"}, "training": {"class_weights": [-1]}}),
    (False, {"data": {"format": "synthetic"}, "training": {"early_stopping": {"patience": 0}}}),
    (False, {"data": {"format": "synthetic"}, "output": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("good", "mapping"), BOTH, ids=lambda value: str(value)[:70])
def test_schema_and_program_agree(good, mapping):
    assert VALIDATOR.is_valid(mapping) is good
    text = json.dumps(mapping)  # JSON is YAML
    if good:
        check_config(text, "t")
    else:
        with pytest.raises(ConfigError):
            check_config(text, "t")
