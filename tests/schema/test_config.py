"""Configs: every problem is one line that says where, what, and what was meant."""

import json
import pathlib
import re

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backprop_cli.config import check_config, config_text, load_config
from backprop_cli.config.__main__ import schema_text
from backprop_cli.config.source import dump, parse
from backprop_cli.errors import ConfigError

ROOT = pathlib.Path(__file__).parents[2]
PRESETS = sorted(ROOT.glob("configs/**/*.yaml"))
SCHEMA = ROOT / "backprop_cli" / "config" / "schema.json"


def problems(text, *overrides):
    with pytest.raises(ConfigError) as refusal:
        check_config(text, "c.yaml", overrides)
    return str(refusal.value).splitlines()


def test_all_problems_of_a_file_at_once_with_their_lines():
    text = """\
data:
  format: cifar10
  pth: somewhere
learning_rate: 3
loss: softmax
l2: -1
training:
  epochs: 4.5
  learning_rte: 1e-3
  learning_rate: 1e-3
  learning_rate: 2
  schedule: {kind: cosin}
  batch_size: yes
  nesterov: 1
"""
    found = problems(text)
    expected = [
        r"c.yaml:1: data.path: expected this key",
        r"c.yaml:3: data.pth: unknown key; did you mean 'path'\?",
        r"c.yaml:4: learning_rate: unknown key; did you mean 'training.learning_rate'\?",
        r"c.yaml:5: loss: expected softmax_cross_entropy or multiclass_svm, found 'softmax'",
        r"c.yaml:6: l2: expected a number >= 0.*, found -1",
        r"c.yaml:8: training.epochs: expected an integer, found 4.5",
        r"c.yaml:9: training.learning_rte: unknown key; did you mean 'learning_rate'\?",
        r"c.yaml:11: training.learning_rate: duplicate key, first given in line 10",
        r"c.yaml:12: training.schedule.kind: .*found 'cosin'; did you mean 'cosine'\?",
        r"c.yaml:13: training.batch_size: expected an integer, found 'yes'",
        r"c.yaml:14: training.nesterov: expected true or false, found 1",
    ]
    assert len(found) == len(expected)
    for pattern in expected:
        assert any(re.match(pattern, line) for line in found), (pattern, found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "c.yaml:1: expected a mapping of keys, found nothing"),
        ("- a", "c.yaml:1: expected a mapping of keys, found list"),
        ("data: [", "c.yaml:1: not valid YAML"),
        ("a: 1\n\tb: 2", "c.yaml:2: not valid YAML"),
        ("data: {format: synthetic}\n---\na: 1", "c.yaml:2: expected one YAML document"),
        ("data: !!python/object/apply:os.system [ls]", "the tag .* is not allowed"),
        ("data: !thing {}", "the tag .* is not allowed"),
        ("a: &x 1\nb: *x", "anchors and aliases are not allowed"),
        ("[" * 40 + "]" * 40, "nested more than 32 deep"),
        ("[" * 100_000, "nested more than 32 deep"),
        ("? {a: 1}\n: 2", "expected a word as a key"),
        ("a: " + "x" * 1_000_001, "expected at most 1000000 bytes"),
        ("data: {format: synthetic}\nl2: " + "9" * 5000, "a number of 5000 digits"),
        ("data: {format: synthetic}\nl2: .nan", "expected a finite number, found nan"),
        ("data: {format: synthetic}\nl2: 1e999", "expected a finite number, found inf"),
        ("data: {format: synthetic}\nl2: '0'", "expected a number, found '0'"),
        ("data: {format: synthetic, validation: 1.0}", "expected a count"),
        ("data: {format: synthetic, validation: true}", "expected a count"),
        ("data: {format: npy, path: a, classes: [x, x]}", "distinct names"),
        ("data: {format: synthetic}\ntraining: {class_weights: [0, 0]}", "not all of them 0"),
        ("data: {format: synthetic}\nlabel_smoothing: 0.1\nloss: multiclass_svm", ":2: .*needs"),
        ("data: {format: synthetic}\ntraining: {nesterov: true}", "needs training.momentum"),
        ("data: {format: synthetic, validation: 0}\ntraining:\n  early_stopping: {}", "c.yaml:3: "),
    ],
)  # fmt: skip
def test_one_problem_is_one_line(text, message):
    found = problems(text)
    assert len(found) == 1
    assert re.search(message, found[0]), found


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="expected UTF-8 text"):
        load_config(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfdata: {format: synthetic}\n")
    assert load_config(tmp_path / "c.yaml").data.format == "synthetic"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3), ("1.5E+2", 150.0), (".5", 0.5), ("5.", 5.0), ("-3", -3), ("+3", 3),
        ("010", 10), ("0x1F", "0x1F"), ("1_000", "1_000"), ("1:30", "1:30"), ("yes", "yes"),
        ("no", "no"), ("on", "on"), ("true", True), ("~", None), ("null", None), ("", None),
        ("'3'", "3"), ('"true"', "true"), ("2020-01-01", "2020-01-01"), ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = parse(f"a: {text}", "c").value["a"]
    assert found == value
    assert type(found) is type(value)


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20) | (
    st.sampled_from(["1e3", "true", "no", "null", "~", "0x1", "1.", "-", "- a", "a: b", "#", "<<"])
)


@given(
    st.lists(words, min_size=2, max_size=4, unique=True),
    words,
    st.floats(1e-300, 1e300),
    st.floats(1e-9, 0.999),
)
def test_what_is_written_is_read(classes, path, rate, fraction):
    text = dump(
        {
            "data": {
                "format": "npy",
                "path": path,
                "classes": classes,
                "validation": fraction,
            },
            "training": {"learning_rate": rate},
        }
    )
    config = check_config(text, "c")
    assert config.data.classes == classes
    assert config.data.path == path
    assert config.training.learning_rate == rate
    assert check_config(config_text(config), "d") == config


BASE = "data: {format: synthetic}\ntraining: {epochs: 3}\n"


def test_overrides():
    config = check_config(
        BASE, "c", ["training.epochs=7", "l2=1e-2", "training.epochs=8", "model={outputs: 1}",
                    "training.schedule={kind: cosine, minimum: 0}", "data.classes=2"],
    )  # fmt: skip
    assert config.training.epochs == 8
    assert config.l2 == 0.01
    assert config.model.outputs == 1
    assert config.training.schedule.kind == "cosine"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=3", "--set training.epoch=3: training.epoch: .*did you mean 'epochs'"),
        ("training.epochs.a=3", "--set training.epochs.a=3: epochs is no mapping"),
        ("training..a=3", "--set training..a=3: expected KEY=VALUE"),
        ("nothing", "--set nothing: expected KEY=VALUE"),
        ("l2=a: b: c", "--set l2=a: b: c:1: not valid YAML"),
        ("l2=*x", "anchors and aliases"),
        ("data=3", "--set data=3: data: expected a mapping"),
    ],
)
def test_overrides_that_are_wrong(override, message):
    found = problems(BASE, override)
    assert len(found) == 1
    assert re.search(message, found[0]), found


def test_the_shipped_schema_is_the_programs():
    assert SCHEMA.read_text("utf-8") == schema_text()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_load_and_match_the_schema(path):
    config = load_config(path)
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(SCHEMA.read_text()))
    jsonschema.validate(config.to_mapping(), json.loads(SCHEMA.read_text()))
    first = path.read_text().splitlines()[0]
    target = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / target).resolve() == SCHEMA


def test_the_schema_refuses_what_the_program_refuses():
    schema = json.loads(SCHEMA.read_text())
    for wrong in (
        {"data": {"format": "synthetic", "path": "x"}},
        {"data": {"format": "cifar10"}},
        {"data": {"format": "synthetic", "validation": 1.5}},
        {"data": {"format": "synthetic"}, "l2": -1},
        {"data": {"format": "synthetic"}, "lr": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
        assert problems(dump(wrong))


def test_every_key_is_described():
    schema = json.loads(SCHEMA.read_text())
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        for key, value in section["properties"].items():
            assert value.get("description"), (section.get("title"), key)
