"""The parameters of `LinearClassifier`: what is refused, and their defaults."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra: sklearn")

from backprop_cli import LinearClassifier
from backprop_cli.config.schema import Config, Training


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "loss: expected softmax_cross_entropy or multiclass_svm, found 'hi"),
        ({"l2": -1}, "l2: expected a number >= 0, found -1"),
        ({"l2": np.nan}, "l2: expected a number >= 0, found nan"),
        ({"epochs": 0}, "epochs: expected an integer >= 1 or auto, found 0"),
        ({"batch_size": True}, "batch_size: expected an integer >= 1, found True"),
        ({"momentum": 1}, "momentum: expected a number from 0, below 1, found 1"),
        ({"learning_rate": "optimal"}, "learning_rate: expected a number > 0 or auto, found 'opt"),
        ({"tolerance": 0}, "tolerance: expected a number above 0, below 1, found 0"),
        ({"schedule": "step"}, "schedule: expected constant or cosine or a schedule such as"),
        ({"standardize": "per_channel"}, "standardize: expected none or per_feature, found"),
        ({"select_by": "f1"}, "select_by: expected accuracy, .* or loss, found 'f1'"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov: needs momentum > 0"),
        ({"solver": "lbfgs", "loss": "multiclass_svm"}, "solver: 'lbfgs' needs a smooth loss"),
        ({"solver": "lbfgs", "patience": 2}, "patience: stops solver='sgd' early"),
        ({"loss": "multiclass_svm", "label_smoothing": 0.1}, "label_smoothing: multiclass_svm"),
        ({"class_weight": "even"}, "class_weight"),
    ],
)  # fmt: skip
def test_parameters_are_checked(params, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier(**params).fit(np.eye(4), [0, 1, 0, 1])


def test_the_defaults_are_those_of_a_config():
    ours = LinearClassifier().get_params()
    config = {name: field.default for name, field in Training.model_fields.items()}
    same = ["solver", "tolerance", "epochs", "batch_size", "learning_rate", "momentum", "nesterov",
            "select_by", "keep"]  # fmt: skip
    assert {name: ours[name] for name in same} == {name: config[name] for name in same}
    assert ours["schedule"] == config["schedule"].kind
    assert ours["random_state"] == config["seed"]
    assert ours["class_weight"] is config["class_weights"] is None
    assert ours["loss"] == Config.model_fields["loss"].default
    assert ours["label_smoothing"] == Config.model_fields["label_smoothing"].default
    assert ours["initial_std"] == Config.model_fields["model"].default.initial_std
