"""Every mistake in a config is one line: where, which key, what was expected, what was found."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.errors import ConfigError

SYNTHETIC = "data: {format: synthetic}\n"


def problems(text, *overrides):
    with pytest.raises(ConfigError) as refusal:
        check_config(text, "some.yaml", overrides)
    return str(refusal.value).split("\n")


def one(text, *overrides):
    lines = problems(text, *overrides)
    assert len(lines) == 1, lines
    return lines[0]


def synthetic(text):
    """Put ``text`` after two lines, so that its first line is line 3."""
    return f"# a comment\n{SYNTHETIC}{text}"


# text from line 3 on; the line of the mistake; its key; what is expected; what was found
SCALARS = [
    ("training: {epochs: many}", 3, "training.epochs", "an integer", "'many'"),
    ("training: {epochs: 2.5}", 3, "training.epochs", "an integer", "2.5"),
    ("training: {epochs: 1e1}", 3, "training.epochs", "an integer", "10.0"),
    ("training: {epochs: true}", 3, "training.epochs", "an integer", "True"),
    ("training: {epochs: null}", 3, "training.epochs", "an integer", "nothing"),
    ("training: {epochs: [3]}", 3, "training.epochs", "an integer", "[3]"),
    ("training: {epochs: {a: 3}}", 3, "training.epochs", "an integer", "a mapping"),
    ("training: {epochs: '3'}", 3, "training.epochs", "an integer", "'3'"),
    ("training:\n  epochs: 3\n  learning_rate: fast", 5, "training.learning_rate",
     "a finite number > 0, or auto",
     "'fast'"),
    ("l2: true", 3, "l2", "a number", "True"),
    ("l2: '0.1'", 3, "l2", "a number", "'0.1'"),
    ("l2: .nan", 3, "l2", "a finite number", "nan"),
    ("l2: .inf", 3, "l2", "a finite number", "inf"),
    ("l2: 1e999", 3, "l2", "a finite number", "inf"),
    ("training: {nesterov: yes, momentum: 0.9}", 3, "training.nesterov", "true or false", "'yes'"),
    ("training: {nesterov: 1, momentum: 0.9}", 3, "training.nesterov", "true or false", "1"),
    ("output: 3", 3, "output", "text", "3"),
    ("output: null", 3, "output", "text", "nothing"),
    ("output: ''", 3, "output", "text that is not empty", "''"),
    ("training: 3", 3, "training", "a mapping of keys", "3"),
    ("training: [epochs]", 3, "training", "a mapping of keys", "['epochs']"),
    ("training:", 3, "training", "a mapping of keys", "nothing"),
    ("training: {schedule: cosine}", 3, "training.schedule", "a mapping of keys", "'cosine'"),
    ("training: {epochs: 0}", 3, "training.epochs", "an integer >= 1, or auto", "0"),
    ("l2: -0.5", 3, "l2", "a number >= 0", "-0.5"),
    ("training: {learning_rate: 0}", 3, "training.learning_rate", "a finite number > 0", "0"),
    ("training: {learning_rate: .inf}", 3, "training.learning_rate", "a finite number", "inf"),
    ("compute: {threads: 0}", 3, "compute.threads", "auto or a number from 1", "0"),
    ("training: {momentum: 1.0}", 3, "training.momentum", "a number < 1", "1.0"),
    ("training: {schedule: {kind: step, factor: 2}}", 3, "training.schedule.factor",
     "a number <= 1", "2"),
    ("loss: hinge", 3, "loss", "softmax_cross_entropy or multiclass_svm", "'hinge'"),
    ("training:\n  schedule:\n    kind: cosin", 5, "training.schedule.kind",
     "one of constant, step, cosine, cyclical", "'cosin'"),
    ("training: {schedule: {every: 3}}", 3, "training.schedule.kind",
     "one of constant, step, cosine, cyclical", "none"),
    ("training: {early_stopping: 5}", 3, "training.early_stopping", "a mapping of keys", "5"),
    ("training: {class_weights: []}", 3, "training.class_weights", "'balanced' or a list", "[]"),
    ("training: {class_weights: [0, 0]}", 3, "training.class_weights", "not all of them 0",
     "[0, 0]"),
    ("training: {class_weights: [1, -1]}", 3, "training.class_weights", ">= 0", "[1, -1]"),
    ("training: {class_weights: [1, .inf]}", 3, "training.class_weights", "finite", "[1, inf]"),
    ("training: {class_weights: [1, true]}", 3, "training.class_weights", "number", "[1, True]"),
    ("training: {class_weights: balancd}", 3, "training.class_weights", "'balanced'", "'balancd'"),
    ("training:\n  learning_rate: 0.001\n  schedule: {kind: cosine, minimum: 0.1}", 5,
     "training.schedule.minimum", "at most training.learning_rate (0.001)", "0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "key", "expected", "found"), SCALARS)
def test_a_mistake_is_one_line_with_all_that_helps(text, line, key, expected, found):
    said = one(synthetic(text))
    assert said.startswith(f"some.yaml:{line}: {key}: expected "), said
    assert expected in said
    assert said.split(", found ")[-1].startswith(found), said


DATA = [
    ("data: {format: synthetic, validation: -1}", "data.validation", "-1"),
    ("data: {format: synthetic, validation: 1.5}", "data.validation", "1.5"),
    ("data: {format: synthetic, validation: 0.0}", "data.validation", "0.0"),
    ("data: {format: synthetic, validation: true}", "data.validation", "True"),
    ("data: {format: synthetic, validation: ''}", "data.validation", "''"),
    ("data: {format: synthetic, validation: [1]}", "data.validation", "[1]"),
    ("data: {format: synthetic, validation: null}", "data.validation", "nothing"),
    ("data: {format: synthetic, test: -3}", "data.test", "-3"),
    ("data: {format: synthetic, limit: 0}", "data.limit", "0"),
    ("data: {format: synthetic, channels: 2}", "data.channels", "2"),
    ("data: {format: synthetic, size: 1000}", "data.size", "1000"),
    ("data: {format: synthetic, standardize: per_pixel}", "data.standardize", "'per_pixel'"),
    ("data: {format: npy, path: a, classes: 1}", "data.classes", "1"),
    ("data: {format: npy, path: a, classes: [one]}", "data.classes", "['one']"),
    ("data: {format: npy, path: a, classes: [one, one]}", "data.classes", "['one', 'one']"),
    ("data: {format: npy, path: a, classes: [one, 2]}", "data.classes", "['one', 2]"),
    ("data: {format: npy, path: a, classes: [one, '']}", "data.classes", "['one', '']"),
    ("data: {format: npy, path: a, classes: true}", "data.classes", "True"),
    ("data: {format: cifar10, path: a, train: data_batch_1}", "data.train", "'data_batch_1'"),
    ("data: {format: cifar10, path: a, train: []}", "data.train", "[]"),
    ("data: {format: cifar10, path: a, train: [b, 3]}", "data.train.1", "3"),
    ("data: {format: cifar100, path: a, labels: rough}", "data.labels", "'rough'"),
    ("data: {format: cifar}", "data.format", "'cifar'"),
    ("data: {format: 10}", "data.format", "10"),
    ("data: {format: [cifar10]}", "data.format", "['cifar10']"),
    ("data: {format: {kind: cifar10}}", "data.format", "a mapping"),
    ("data: {format: null}", "data.format", "none"),
    ("data: {format: idx}", "data.path", "none"),
    ("data: cifar10", "data", "'cifar10'"),
    ("data:", "data", "nothing"),
    ("{}", "data", "none"),
]


@pytest.mark.parametrize(("text", "key", "found"), DATA)
def test_a_mistake_about_data_is_one_line(text, key, found):
    said = one("\n" + text)
    line = 2 if text != "{}" else 1
    assert said.startswith(f"some.yaml:{line}: {key}: expected "), said
    assert said.split(", found ")[-1].startswith(found), said


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("los: multiclass_svm", "los", "'loss'"),
        ("trainning: {}", "trainning", "'training'"),
        ("training: {learning_rte: 1}", "training.learning_rte", "'learning_rate'"),
        ("training: {batchsize: 1}", "training.batchsize", "'batch_size'"),
        ("training: {epoch: 1}", "training.epoch", "'epochs'"),
        ("training: {early_stopping: {patiance: 1}}", "training.early_stopping.patiance",
         "'patience'"),
        ("training: {schedule: {kind: step, evry: 1}}", "training.schedule.evry", "'every'"),
        ("training: {schedule: {kind: cyclical, halfcycle: 1}}", "training.schedule.halfcycle",
         "'half_cycle'"),
        ("model: {output: 1}", "model.output", "'outputs'"),
        # right names at the wrong place
        ("learning_rate: 1", "learning_rate", "'training.learning_rate'"),
        ("validation: 10", "validation", "'data.validation'"),
        ("training: {l2: 0.1}", "training.l2", "'l2'"),
        ("patience: 3", "patience", "'training.early_stopping.patience'"),
    ],
)  # fmt: skip
def test_an_unknown_key_gets_the_nearest_right_one(text, key, nearest):
    said = one(synthetic(text))
    assert said.startswith(f"some.yaml:3: {key}: unknown key; did you mean {nearest}?"), said


def test_an_unknown_key_like_no_other_gets_them_all():
    said = one(synthetic("xyzzy: 1"))
    assert "xyzzy: unknown key" in said
    for key in ("data", "model", "loss", "label_smoothing", "l2", "training", "output"):
        assert key in said


def test_an_unknown_key_of_data_is_told_by_its_format():
    said = one("data:\n  format: cifar10\n  path: a\n  pth: b")
    assert said == "some.yaml:4: data.pth: unknown key; did you mean 'path'?"
    assert "unknown key" in one("data: {format: synthetic, path: a}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("training: {schedule: {kind: step, step: 3}}", "training.schedule.step"),
        ("training: {schedule: {kind: cosine, cosine: 3}}", "training.schedule.cosine"),
    ],
)
def test_an_unknown_key_that_is_called_as_its_kind_is_named(text, key):
    assert one(synthetic(text)).startswith(f"some.yaml:3: {key}: unknown key")


def test_an_unknown_key_that_is_called_as_its_format_is_named():
    said = one("data: {format: npy, path: a, npy: b}")
    assert said.startswith("some.yaml:1: data.npy: unknown key")


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("data: {formt: synthetic}", "formt", "format"),
        (SYNTHETIC + "training: {schedule: {knd: step}}", "knd", "kind"),
    ],
)
def test_a_misspelt_format_or_kind_is_named_with_the_right_key(text, wrong, right):
    said = "\n".join(problems(text))
    assert re.search(rf"\b{wrong}\b.*did you mean '{right}'", said), said


def test_values_are_told_with_their_nearest_choice():
    assert "did you mean 'cosine'?" in one(synthetic("training: {schedule: {kind: cosin}}"))
    assert "did you mean 'cifar10'?" in one("data: {format: cifar_10, path: a}")
    assert "did you mean 'multiclass_svm'?" in one(synthetic("loss: multi_class_svm"))


def test_all_problems_of_a_file_are_told_at_once():
    text = (
        "data:\n"
        "  format: idx\n"  # path is missing
        "  validation: -1\n"
        "  limmit: 3\n"
        "los: multiclass_svm\n"
        "l2: a little\n"
        "l2: 0.1\n"
        "training:\n"
        "  epochs: 0\n"
        "  schedule: {kind: cosin}\n"
        "  seed: -1\n"
    )
    found: dict[str, list[str]] = {}
    for line in problems(text, "training.momentum=2", "output=", "nowhere"):
        place, key = line.split(": ")[:2]
        found.setdefault(key, []).append(place)
    assert found == {
        "data.path": ["some.yaml:1"],
        "data.validation": ["some.yaml:3"],
        "data.limmit": ["some.yaml:4"],
        "los": ["some.yaml:5"],
        "l2": ["some.yaml:7", "some.yaml:6"],  # a duplicate, and a wrong value
        "training.epochs": ["some.yaml:9"],
        "training.schedule.kind": ["some.yaml:10"],
        "training.seed": ["some.yaml:11"],
        "training.momentum": ["--set training.momentum=2"],
        "output": ["--set output="],
        "expected KEY=VALUE, as in training.epochs=10": ["--set nowhere"],
    }


COMBINATIONS = {
    "label_smoothing": "loss: multiclass_svm\nlabel_smoothing: 0.1\n",
    "training.nesterov": "training: {nesterov: true, momentum: 0}\n",
    "training.early_stopping": "training: {early_stopping: {patience: 3}}\n",
}


@pytest.mark.parametrize("key", COMBINATIONS)
def test_keys_that_do_not_go_together(key):
    text = "data: {format: synthetic, validation: 0}\n" + COMBINATIONS[key]
    assert re.match(rf"some\.yaml:[23]: {key}: (expected|needs) ", one(text))


def test_all_keys_that_do_not_go_together_are_told_at_once():
    text = (
        "data: {format: synthetic, validation: 0}\nloss: multiclass_svm\nlabel_smoothing: 0.1\n"
        "training:\n  momentum: 0\n  nesterov: true\n  early_stopping: {patience: 3}\n"
    )
    places = [line.split(": ")[:2] for line in problems(text)]
    assert sorted(places) == [
        ["some.yaml:3", "label_smoothing"],
        ["some.yaml:6", "training.nesterov"],
        ["some.yaml:7", "training.early_stopping"],
    ]


@pytest.mark.parametrize(
    ("text", "key", "first", "second"),
    [
        ("l2: 0.1\nl2: 0.1\n", "l2", 3, 4),
        ("l2: 0.1\nloss: multiclass_svm\n'l2': 0.2\n", "l2", 3, 5),
        ("training:\n  epochs: 1\n  seed: 1\n  epochs: 1\n", "training.epochs", 4, 6),
        ("training: {schedule: {kind: step, every: 1, every: 2}}\n", "training.schedule.every",
         3, 3),
    ],
)  # fmt: skip
def test_a_duplicate_key_is_told_with_both_lines(text, key, first, second):
    said = one(synthetic(text))
    assert said == f"some.yaml:{second}: {key}: duplicate key, first given in line {first}"


def test_a_whole_section_given_twice_is_a_duplicate():
    text = "training: {epochs: 1}\ntraining: {epochs: 2, epoch: 3}\n"
    assert one(synthetic(text)).startswith("some.yaml:4: training: duplicate key")


@pytest.mark.parametrize("key", ["channels", "outputs"])
def test_true_is_not_the_number_one(key):
    if key == "channels":
        said = one("data: {format: synthetic, channels: true}")
    else:
        said = one(synthetic("model: {outputs: true}"))
    assert said.endswith("found True")


@pytest.mark.parametrize("digits", [21, 400, 5000])
@pytest.mark.parametrize("key", ["epochs", "seed"])
def test_a_number_of_very_many_digits_is_one_line_that_names_its_key(key, digits):
    said = one(synthetic(f"training: {{{key}: {'9' * digits}}}"))
    assert said.startswith(f"some.yaml:3: training.{key}: "), said
    assert len(said) < 200


def test_a_long_value_is_shown_short():
    said = one(synthetic(f"loss: {'x' * 5000}"))
    assert len(said) < 200


@pytest.mark.parametrize("text", ['"a\\nb": 1\n', "? |\n  a\n  b\n: 1\n", '"a\\u2028b": 1\n'])
def test_a_key_with_a_line_break_is_still_one_line(text):
    lines = problems(synthetic(text))
    assert len(lines) == 1
    assert len(lines[0].splitlines()) == 1, lines[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["data", "model", "loss", "l2", "training", "output", "format", "path", "validation", "classes",
     "schedule", "kind", "epochs", "early_stopping", "class_weights", "cifar10", "step", "0"]
)  # fmt: skip
NESTED = st.recursive(
    JSON | st.sampled_from(["cifar10", "npy", "synthetic", "cosine", "step", "multiclass_svm"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(KEYS, NESTED, max_size=6))
def test_anything_is_a_config_or_lines_that_say_where(mapping):
    text = json.dumps(mapping, ensure_ascii=False)
    text = re.sub("[\x7f\x85\u2028\u2029]", "", text)  # not allowed in YAML, or a line break
    try:
        check_config(text, "some.yaml")
    except ConfigError as refusal:
        if "not valid YAML" not in str(refusal):
            for line in str(refusal).split("\n"):
                assert re.match(r"some\.yaml:1: ", line), line
