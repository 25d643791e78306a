"""The schema of a config: every key, its type, its range, its default, and what it means.

This is the only home of defaults. The models are frozen: a resolved config does not change.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from backprop_cli.config.values import (
    Classes,
    ClassWeights,
    Count,
    FilePath,
    Part,
    Threads,
    not_a_truth_value,
)

FLOAT32_MAX = 3.4028234e38


class Section(BaseModel):
    """A mapping of the config: unknown keys, lossy conversions, NaN and infinity are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataSection(Section):
    """What every data format has in common."""

    path_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name files or folders relative to the working directory."""

    format: str = Field(description="How the files are laid out.")
    validation: Part = Field(
        0.1, description="Validation examples: a count, a fraction, or a file of the format."
    )
    test: Part | None = Field(
        None,
        description="Test examples: a count, a fraction, or a file of the format. "
        "null: the format's own test file; a fifth of the data where it has none.",
    )
    stratified: bool = Field(
        False, description="Held-out parts and `limit` keep the proportions of the classes."
    )
    limit: Count | None = Field(
        None, description="At most so many training examples, drawn with `seed`."
    )
    standardize: Literal["none", "per_feature", "per_channel"] = Field(
        "per_feature",
        description="Subtract the mean, divide by the standard deviation, of the training split.",
    )
    seed: int = Field(0, ge=0, description="Seed of the splits (and of synthetic data).")


class Cifar10Data(DataSection):
    """CIFAR-10, the python or the binary layout, told apart by looking."""

    path_keys: ClassVar[tuple[str, ...]] = ("path",)

    format: Literal["cifar10"] = Field(description="How the files are laid out.")
    path: FilePath = Field(description="The folder that holds data_batch_1 (or data_batch_1.bin).")
    train: Annotated[list[FilePath], Field(min_length=1)] | None = Field(
        None, description="Only these files. null: data_batch_1 to data_batch_5."
    )


class Cifar100Data(DataSection):
    """CIFAR-100, the python or the binary layout, told apart by looking."""

    path_keys: ClassVar[tuple[str, ...]] = ("path",)

    format: Literal["cifar100"] = Field(description="How the files are laid out.")
    path: FilePath = Field(description="The folder that holds train (or train.bin).")
    train: Annotated[list[FilePath], Field(min_length=1)] | None = Field(
        None, description="Only these files. null: train."
    )
    labels: Literal["fine", "coarse"] = Field(
        "fine", description="The 100 classes, or the 20 superclasses."
    )


class IdxData(DataSection):
    """IDX files of the MNIST family, plain or gzip."""

    path_keys: ClassVar[tuple[str, ...]] = ("path",)

    format: Literal["idx"] = Field(description="How the files are laid out.")
    path: FilePath = Field(description="The folder that holds train-images-idx3-ubyte (or .gz).")
    train: Annotated[list[FilePath], Field(min_length=1)] | None = Field(
        None, description="Only these image files. null: train-images-idx3-ubyte."
    )
    classes: Classes | None = Field(
        None, description="Names (or the number) of the classes. null: as many as labels say."
    )


class NpyData(DataSection):
    """Arrays: an .npz with x and y, or an .npy of features and one of labels."""

    path_keys: ClassVar[tuple[str, ...]] = (
        "path",
        "labels",
        "validation",
        "validation_labels",
        "test",
        "test_labels",
    )

    format: Literal["npy"] = Field(description="How the files are laid out.")
    path: FilePath = Field(
        description="An .npz with x (n x d, or n x height x width x channels) and y (n integers), "
        "or an .npy with the features."
    )
    labels: FilePath | None = Field(None, description="The .npy of labels that goes with `path`.")
    validation_labels: FilePath | None = Field(
        None, description="The .npy of labels that goes with a `validation` file."
    )
    test_labels: FilePath | None = Field(
        None, description="The .npy of labels that goes with a `test` file."
    )
    classes: Classes | None = Field(
        None, description="Names (or the number) of the classes. null: as many as labels say."
    )


class SyntheticData(DataSection):
    """CIFAR-like images made from `seed`: a smooth template a class, shifts, light and noise."""

    format: Literal["synthetic"] = Field(description="How the files are laid out.")
    examples: int = Field(12000, ge=1, le=1_000_000, description="All examples, before any split.")
    classes: int = Field(10, ge=2, le=1000, description="The number of classes.")
    size: int = Field(32, ge=1, le=256, description="Height and width of an image in pixels.")
    channels: Annotated[Literal[1, 3], BeforeValidator(not_a_truth_value)] = Field(
        3, description="1 grey, 3 colour."
    )


Data = Annotated[
    Cifar10Data | Cifar100Data | IdxData | NpyData | SyntheticData, Field(discriminator="format")
]


class Model(Section):
    """The linear classifier."""

    outputs: Annotated[Literal["per_class", 1], BeforeValidator(not_a_truth_value)] = Field(
        "per_class",
        description="A score a class; or 1: a single score for two classes, decided by its sign.",
    )
    dtype: Literal["float32", "float64"] = Field(
        "float32", description="What training computes in."
    )
    initial_std: float = Field(
        0.01, ge=0, description="W starts as N(0, initial_std^2), b as zero."
    )


class ConstantSchedule(Section):
    """The rate stays `learning_rate`."""

    kind: Literal["constant"] = Field(description="How the rate moves.")


class StepSchedule(Section):
    """The rate is multiplied by `factor` after every `every` epochs."""

    kind: Literal["step"] = Field(description="How the rate moves.")
    every: Count = Field(10, description="Epochs between two drops.")
    factor: float = Field(0.1, gt=0, le=1, description="Of the rate at each drop.")


class CosineSchedule(Section):
    """The rate falls from `learning_rate` to `minimum` along half a cosine over all steps."""

    kind: Literal["cosine"] = Field(description="How the rate moves.")
    minimum: float = Field(0.0, ge=0, description="What the rate nears at the end.")


class CyclicalSchedule(Section):
    """The rate goes from `minimum` up to `learning_rate` and back, in straight lines."""

    kind: Literal["cyclical"] = Field(description="How the rate moves.")
    minimum: float = Field(1e-5, ge=0, description="The lowest rate.")
    half_cycle: Count = Field(500, description="Steps from the lowest rate to the highest.")


Schedule = Annotated[
    ConstantSchedule | StepSchedule | CosineSchedule | CyclicalSchedule,
    Field(discriminator="kind"),
]


class EarlyStopping(Section):
    """Stop when validation has not improved for `patience` epochs."""

    patience: Count = Field(5, description="Epochs without a better validation figure.")


class Training(Section):
    """Mini-batch gradient descent."""

    epochs: Count = Field(40, description="Passes over the training examples.")
    batch_size: Count = Field(100, description="Examples a step.")
    learning_rate: float = Field(0.001, gt=0, description="eta; the highest of a schedule.")
    momentum: float = Field(0.0, ge=0, lt=1, description="rho in V = rho V + dW.")
    nesterov: bool = Field(False, description="Step along dW + rho V in place of V.")
    schedule: Schedule = Field(ConstantSchedule(kind="constant"), description="See below.")
    horizontal_flips: bool = Field(
        False, description="Mirror each training image with probability 1/2, anew every epoch."
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="A factor on each class; balanced: n / (classes there are x n_class).",
    )
    select_by: Literal["accuracy", "loss"] = Field(
        "accuracy",
        description="The validation figure that says which epoch is best, the first of equal ones.",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="The weights of which epoch become the model (without validation: last)"
    )
    early_stopping: EarlyStopping | None = Field(None, description="See below.")
    seed: int = Field(42, ge=0, description="Seed of the initial weights, the order, the flips.")


class Compute(Section):
    """What the arithmetic runs on. A run's own config has what `auto` became."""

    backend: Literal["auto", "numpy", "compiled"] = Field(
        "auto",
        description="compiled: kernels for few classes (float32; the extra `fast`); "
        "auto: those where they are the faster ones.",
    )
    threads: Threads = Field(
        "auto",
        description="A number, or auto: as many as there are cores. Of BLAS and kernels alike.",
    )


class Recorded(Section):
    """What a run was made with. It is written by a run; a new run replaces it."""

    backprop: str = Field(description="The version of this program.")
    numpy: str = Field(description="The version of NumPy.")
    numba: str | None = Field(None, description="The version of numba, if kernels were compiled.")
    data: str = Field(description="SHA-256 of the examples, their labels and the splits.")


class Config(Section):
    """A training run, complete."""

    data: Data = Field(description="See below, by format.")
    model: Model = Field(Model(), description="See below.")
    loss: Literal["softmax_cross_entropy", "multiclass_svm"] = Field(
        "softmax_cross_entropy", description="What is minimized."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Target (1 - a) for the label plus a / C for every class."
    )
    l2: float = Field(0.0, ge=0, description="lambda in J = L + lambda * sum of W_ij^2.")
    training: Training = Field(Training(), description="See below.")
    compute: Compute = Field(Compute(), description="See below.")
    output: FilePath = Field("runs/run", description="The run directory.")
    recorded: Recorded | None = Field(None, description="Written by a run; see below.")

    @model_validator(mode="after")
    def _check_combinations(self) -> Config:
        training, mistakes = self.training, {}
        if self.label_smoothing > 0 and self.loss != "softmax_cross_entropy":
            mistakes["label_smoothing"] = "needs loss: softmax_cross_entropy"
        if training.nesterov and training.momentum == 0:
            mistakes["training.nesterov"] = "needs training.momentum > 0"
        if training.early_stopping is not None and self.data.validation == 0:
            mistakes["training.early_stopping"] = "needs validation examples"
        lowest = getattr(training.schedule, "minimum", 0.0)
        if lowest > training.learning_rate:
            mistakes["training.schedule.minimum"] = (
                f"expected at most training.learning_rate ({training.learning_rate}), "
                f"found {lowest}"
            )
        if self.model.dtype == "float32":
            for key, value in {
                "l2": self.l2,
                "model.initial_std": self.model.initial_std,
                "training.learning_rate": training.learning_rate,
                "training.class_weights": max(
                    training.class_weights if isinstance(training.class_weights, list) else [0.0]
                ),
            }.items():
                if value > FLOAT32_MAX:
                    mistakes[key] = f"expected a number that float32 can hold, found {value}"
        if mistakes:
            raise PydanticCustomError("combinations", "keys do not fit", {"mistakes": mistakes})
        return self

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
"""Sections whose keys depend on one of them (`format`, `kind`): its value -> the section."""

TAGS = {"data": "format", "training.schedule": "kind"}
SECTIONS: dict[str, type[Section]] = {
    "": Config,
    "model": Model,
    "training": Training,
    "training.early_stopping": EarlyStopping,
    "compute": Compute,
    "recorded": Recorded,
}
