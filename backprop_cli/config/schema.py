"""The schema of a config: every key, its type, its range, its default, and what it means.

This and `backprop_cli.config.data` are the only home of defaults. The models are frozen: a resolved
config does not change.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from backprop_cli.config.data import (
    Cifar10Data,
    Cifar100Data,
    Data,
    IdxData,
    NpyData,
    SyntheticData,
)
from backprop_cli.config.registered import soft_target_losses
from backprop_cli.config.section import Section
from backprop_cli.config.values import (
    BackendName,
    ClassWeights,
    Count,
    Epochs,
    FigureName,
    FilePath,
    LossName,
    Rate,
    Threads,
    float32,
    not_a_boolean,
)

FLOAT32_MAX = 3.4028234e38


class Model(Section):
    """The linear classifier."""

    outputs: Annotated[Literal["per_class", 1], BeforeValidator(not_a_boolean)] = Field(
        "per_class",
        description="One score per class; or 1: a single score for two classes; its sign decides.",
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="The number type of training."
    )
    initial_std: float = Field(
        0.01, ge=0, description="W is drawn from N(0, initial_std^2); b starts at zero."
    )


class ConstantSchedule(Section):
    """The learning rate is `learning_rate` throughout."""

    kind: Literal["constant"] = Field(description="How the learning rate changes.")


class StepSchedule(Section):
    """The learning rate is multiplied by `factor` every `every` epochs."""

    kind: Literal["step"] = Field(description="How the learning rate changes.")
    every: Count = Field(10, description="Epochs between two drops.")
    factor: float = Field(0.1, gt=0, le=1, description="What the learning rate is multiplied by.")


class CosineSchedule(Section):
    """The learning rate falls from `learning_rate` to `minimum` along half a cosine."""

    kind: Literal["cosine"] = Field(description="How the learning rate changes.")
    minimum: float = Field(0.0, ge=0, description="The learning rate approached at the last step.")


class CyclicalSchedule(Section):
    """The learning rate rises linearly from `minimum` to `learning_rate`, then falls back."""

    kind: Literal["cyclical"] = Field(description="How the learning rate changes.")
    minimum: float = Field(1e-5, ge=0, description="The lowest learning rate.")
    half_cycle: Count = Field(500, description="Steps from the lowest rate to the highest.")


Schedule = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | CyclicalSchedule,
    Field(discriminator="kind"),
]


class EarlyStopping(Section):
    """Stop when the validation figure has not improved for `patience` evaluated epochs."""

    patience: Count = Field(5, description="Evaluated epochs without improvement before the stop.")


class Training(Section):
    """How the classifier is trained.

    With `solver: lbfgs`, the keys of mini-batch descent have no effect: epochs, batch_size,
    learning_rate, momentum, nesterov, schedule, keep, evaluate_every, train_figures and seed.
    """

    solver: Literal["sgd", "lbfgs"] = Field(
        "sgd",
        description="sgd: mini-batch gradient descent. lbfgs: full-batch L-BFGS to the optimum, "
        "for smooth losses.",
    )
    tolerance: float = Field(
        1e-6,
        ge=1e-12,
        lt=1,
        description="Of lbfgs: the relative duality gap to stop at, from 1e-12; with `l2: 0`, the "
        "norm of the gradient against that at the start.",
    )
    epochs: Epochs = Field(
        "auto",
        description="Passes over the training examples; auto: 30, and on small data as many as "
        "5000 steps need, up to 1000.",
    )
    batch_size: Count = Field(100, description="Examples per step.")
    learning_rate: Rate = Field(
        "auto",
        description="eta; with a schedule, its highest value. auto: 1 over a bound on the "
        "curvature of the cost, from the data (docs/equations.md).",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="rho in V = rho V + dW.")
    nesterov: bool = Field(False, description="Step along dW + rho V instead of V.")
    schedule: Schedule = Field(CosineSchedule(kind="cosine"), description="See below.")
    horizontal_flips: bool = Field(
        False,
        description="Mirror each training image with probability 1/2, anew in every epoch.",
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="A factor per class. balanced: n / (C n_c) for class c, which has n_c of the n "
        "examples, where C classes occur.",
    )
    select_by: FigureName = Field(
        "accuracy",
        description="The validation figure that decides which epoch is best; of equal ones, the "
        "one with the lowest validation loss. auc needs two classes, top_5_accuracy more "
        "than five.",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="The epoch whose weights become the model (without validation examples: last).",
    )
    early_stopping: EarlyStopping | None = Field(None, description="See below.")
    evaluate_every: Count = Field(
        1,
        description="Evaluate after every so many epochs, and after the last. keep: best and "
        "early_stopping go by the epochs that are evaluated; a run that is stopped before the "
        "first of them has the weights of its latest epoch.",
    )
    train_figures: Literal["auto", "evaluation", "steps"] = Field(
        "auto",
        description="Training loss and accuracy in the history. evaluation: of the whole training "
        "split, at the end of an evaluated epoch. steps: averages over the epoch's mini-batches, "
        "each before its step, which cost no pass. auto: evaluation where the pass is short (up to "
        "1e9 operations, 2 x examples x features x classes), else steps.",
    )
    seed: int = Field(
        42,
        ge=0,
        description="The seed of initial weights, order and flips.",
    )


class Compute(Section):
    """What a run computes on. The config in a run directory states what `auto` was resolved to."""

    backend: BackendName = Field(
        "auto",
        description="compiled: kernels that make whole steps (float32, extra `fast`). "
        "auto: the kernels where they are faster.",
    )
    threads: Threads = Field(
        "auto",
        description="The number of threads of BLAS and kernels; auto: one per core, and at "
        "most OMP_NUM_THREADS.",
    )


class Recorded(Section):
    """What a run was made with. It is written by a run; a new run replaces it."""

    backprop: str = Field(description="The version of this program.")
    numpy: str = Field(description="The version of NumPy.")
    numba: str | None = Field(None, description="The version of numba, if kernels were compiled.")
    data: str = Field(description="SHA-256 of the examples, their labels and the splits.")
    processes: int = Field(1, ge=1, description="How many processes trained together.")


class Config(Section):
    """The complete description of a training run."""

    data: Data = Field(description="See below, by format.")
    model: Model = Field(Model(), description="See below.")
    loss: LossName = Field("softmax_cross_entropy", description="The loss that is minimized.")
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="a: the target is 1 - a for the true class, plus a / C for each of C classes.",
    )
    l2: float = Field(0.0, ge=0, description="lambda in J = L + lambda * sum of W_ij^2.")
    training: Training = Field(Training(), description="See below.")
    compute: Compute = Field(Compute(), description="See below.")
    output: FilePath = Field("runs/run", description="The run directory.")
    recorded: Recorded | None = Field(None, description="Written by a run; see below.")

    @model_validator(mode="after")
    def _check_combinations(self) -> Config:
        training, mistakes = self.training, {}
        if self.label_smoothing > 0 and self.loss not in soft_target_losses():
            mistakes["label_smoothing"] = f"needs loss: {' or '.join(soft_target_losses())}"
        if training.nesterov and training.momentum == 0:
            mistakes["training.nesterov"] = "needs training.momentum > 0"
        if training.early_stopping is not None and self.data.validation == 0:
            mistakes["training.early_stopping"] = "needs validation examples"
        if training.solver == "lbfgs":
            for key in ("horizontal_flips", "early_stopping"):
                if getattr(training, key):
                    mistakes[f"training.{key}"] = "needs training.solver: sgd"
        lowest = getattr(training.schedule, "minimum", 0.0)
        if training.learning_rate != "auto" and lowest > training.learning_rate:
            mistakes["training.schedule.minimum"] = (
                f"expected at most training.learning_rate ({training.learning_rate}), "
                f"found {lowest}"
            )
        if self.model.dtype == "float32":
            mistakes.update(self._lost_in_float32())
        elif math.isinf(2 * self.l2):  # the gradient has 2 lambda W
            mistakes["l2"] = f"twice that is infinite, found {self.l2}"
        if mistakes:
            raise PydanticCustomError(
                "combinations", "keys do not go together", {"mistakes": mistakes}
            )
        return self

    def _lost_in_float32(self) -> dict[str, str]:
        """Return what is wrong with numbers that would be others in float32: 0, 1, infinity."""
        training = self.training
        numbers = {
            "l2": self.l2,
            "label_smoothing": self.label_smoothing,
            "model.initial_std": self.model.initial_std,
            "training.momentum": training.momentum,
            "training.schedule.minimum": getattr(training.schedule, "minimum", 0.0),
        }
        if training.learning_rate != "auto":
            numbers["training.learning_rate"] = float(training.learning_rate)
        if isinstance(training.class_weights, list):
            for k, weight in enumerate(training.class_weights):
                numbers[f"training.class_weights.{k}"] = weight
        mistakes = {}
        for key, value in numbers.items():
            largest = FLOAT32_MAX / 2 if key == "l2" else FLOAT32_MAX  # the gradient has 2 lambda W
            if value > largest:
                mistakes[key] = f"expected at most {largest:.4g}, which float32 can hold"
            elif value > 0 and float32(value) == 0:
                mistakes[key] = "expected a number that float32 does not round to 0"
            elif value < 1 and float32(value) == 1:
                mistakes[key] = "expected a number that float32 does not round to 1"
            if key in mistakes:
                mistakes[key] += f", found {value}; or set model.dtype: float64"
        return mistakes

    def to_mapping(self) -> dict[str, Any]:
        """Return every key with its value, as plain Python objects."""
        return self.model_dump()


VARIANTS: dict[str, dict[str, type[Section]]] = {
    "data": {
        "cifar10": Cifar10Data,
        "cifar100": Cifar100Data,
        "idx": IdxData,
        "npy": NpyData,
        "synthetic": SyntheticData,
    },
    "training.schedule": {
        "constant": ConstantSchedule,
        "step": StepSchedule,
        "cosine": CosineSchedule,
        "cyclical": CyclicalSchedule,
    },
}
"""Sections whose keys depend on the value of a tag (`format`, `kind`): value -> section."""

TAGS = {"data": "format", "training.schedule": "kind"}
"""The tag of each of those sections."""

SECTIONS: dict[str, type[Section]] = {
    "": Config,
    "model": Model,
    "training": Training,
    "training.early_stopping": EarlyStopping,
    "compute": Compute,
    "recorded": Recorded,
}
