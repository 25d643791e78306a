"""A loss that is registered later is a value of ``loss`` too."""

import dataclasses

import pytest

from backprop_cli.config import check_config
from backprop_cli.config.__main__ import reference_text
from backprop_cli.config.schema import Config
from backprop_cli.errors import ConfigError
from backprop_cli.losses import LOSSES, MULTICLASS_SVM

TEXT = "data: {format: synthetic}\nloss: squared_hinge\n"


@pytest.fixture
def squared_hinge(monkeypatch):
    loss = dataclasses.replace(MULTICLASS_SVM, name="squared_hinge", kernel=None)
    monkeypatch.setitem(LOSSES, loss.name, loss)


def message(text):
    with pytest.raises(ConfigError) as refused:
        check_config(text, "some.yaml")
    return str(refused.value)


def test_a_loss_that_is_not_registered_is_refused():
    assert message(TEXT) == (
        "some.yaml:2: loss: expected softmax_cross_entropy or multiclass_svm, found 'squared_hinge'"
    )


def test_a_registered_loss_is_accepted(squared_hinge):
    assert check_config(TEXT, "some.yaml").loss == "squared_hinge"
    assert message(TEXT.replace("hinge", "hing")) == (
        "some.yaml:2: loss: expected softmax_cross_entropy, multiclass_svm or squared_hinge, "
        "found 'squared_hing'; did you mean 'squared_hinge'?"
    )


def test_a_registered_loss_is_in_the_schema_and_in_the_reference(squared_hinge):
    names = ["softmax_cross_entropy", "multiclass_svm", "squared_hinge"]
    assert Config.model_json_schema()["properties"]["loss"]["enum"] == names
    assert "`multiclass_svm` or `squared_hinge`." in reference_text()


def test_smoothed_labels_need_a_loss_that_takes_soft_targets(squared_hinge):
    assert message(TEXT + "label_smoothing: 0.1\n") == (
        "some.yaml:3: label_smoothing: needs loss: softmax_cross_entropy"
    )


@pytest.mark.parametrize("value", ["gpu", "[auto]", "null", "1"])
def test_a_backend_that_is_none_gets_the_engines(value):
    text = f"data: {{format: synthetic}}\ncompute: {{backend: {value}}}\n"
    assert message(text).startswith(
        "some.yaml:2: compute.backend: expected auto, numpy or compiled, found "
    )
