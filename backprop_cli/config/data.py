"""The data section of a config: the keys of every format."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from backprop_cli.cache import data_folder
from backprop_cli.config.section import Section
from backprop_cli.config.values import Classes, Count, FilePath, Memory, Part, Text, not_a_boolean


class DataSection(Section):
    """The keys that all data formats share."""

    path_keys: ClassVar[tuple[str, ...]] = ("path",)
    """Keys that name a file or a folder, relative to the working directory."""

    part_keys: ClassVar[tuple[str, ...]] = ("validation", "test")
    """Keys that may name a file, or else say how many examples to hold out."""

    row_keys: ClassVar[tuple[str, ...]] = ("train_rows", "validation_rows", "test_rows")
    """Keys that name files of row numbers."""

    column_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that name a column of such a file."""

    @classmethod
    def file_keys(cls) -> tuple[str, ...]:
        """Return every key that may say where data is."""
        keys = (*cls.path_keys, *cls.part_keys, *cls.row_keys, *cls.column_keys)
        return tuple(dict.fromkeys(keys))

    format: str = Field(description="The layout of the files.")
    validation: Part = Field(
        0.1, description="Validation examples: a count, a fraction, or a file in this format."
    )
    test: Part | None = Field(
        None,
        description="Test examples: a count, a fraction, or a file in this format. "
        "null: the format's own test file, or a fifth of the data if it has none.",
    )
    train_rows: FilePath | None = Field(
        None,
        description="Train on these rows of the training files alone: a .npy of integers or a .txt "
        "with one per line, counted from 0. Parts that are drawn are drawn from them. "
        "null: all rows that are in no other split.",
    )
    validation_rows: FilePath | None = Field(
        None,
        description="Validation examples, as rows of the training files; replaces `validation`.",
    )
    test_rows: FilePath | None = Field(
        None, description="Test examples, as rows of the training files; replaces `test`."
    )
    stratified: bool = Field(
        False,
        description="Held-out parts and `limit` keep the class proportions.",
    )
    limit: Count | None = Field(
        None, description="The maximum number of training examples, drawn at random with `seed`."
    )
    standardize: Literal["none", "per_feature", "per_channel"] = Field(
        "per_feature",
        description="Subtract the mean and divide by the standard deviation, both of the training "
        "split.",
    )
    seed: int = Field(0, ge=0, description="The seed of the splits (and of synthetic data).")


class Cifar10Data(DataSection):
    """CIFAR-10, the Python or the binary layout, whichever the folder holds."""

    format: Literal["cifar10"] = Field(description="The layout of the files.")
    path: FilePath = Field(
        default_factory=lambda: str(data_folder() / "cifar10" / "cifar-10-batches-py"),
        description="The folder that holds data_batch_1 (or data_batch_1.bin). By default, where "
        "`backprop data download cifar10` puts it.",
    )
    train: Annotated[list[FilePath], Field(min_length=1)] | None = Field(
        None, description="Only these files. null: data_batch_1 to data_batch_5."
    )


class Cifar100Data(DataSection):
    """CIFAR-100, the Python or the binary layout, whichever the folder holds."""

    format: Literal["cifar100"] = Field(description="The layout of the files.")
    path: FilePath = Field(
        default_factory=lambda: str(data_folder() / "cifar100" / "cifar-100-python"),
        description="The folder that holds train (or train.bin). By default, where "
        "`backprop data download cifar100` puts it.",
    )
    train: Annotated[list[FilePath], Field(min_length=1)] | None = Field(
        None, description="Only these files. null: train."
    )
    labels: Literal["fine", "coarse"] = Field(
        "fine", description="The 100 classes, or the 20 superclasses."
    )


class IdxData(DataSection):
    """IDX files of the MNIST family, plain or gzip."""

    format: Literal["idx"] = Field(description="The layout of the files.")
    path: FilePath = Field(description="The folder that holds train-images-idx3-ubyte (or .gz).")
    train: Annotated[list[FilePath], Field(min_length=1)] | None = Field(
        None, description="Only these image files. null: train-images-idx3-ubyte."
    )
    classes: Classes | None = Field(
        None,
        description="The number of classes, or a list of their names; labels are then numbers from "
        "0. null: the distinct training labels.",
    )


class NpyData(DataSection):
    """Arrays in .npy, .npz, .safetensors or .parquet files; labels in them, or in others.

    `path` and the other files of features and labels may each be a pattern of several files, such
    as `features/*.npy`: they follow each other in the order of their names.

    Labels are integers, whole floats or texts, one per example. Class names are the distinct labels
    of the training file, in order; the labels of other files are matched with them by name.
    """

    path_keys: ClassVar[tuple[str, ...]] = (
        "path",
        "labels",
        "validation",
        "validation_labels",
        "test",
        "test_labels",
        "groups",
        "weights",
    )
    column_keys: ClassVar[tuple[str, ...]] = ("labels_column", "groups_column")

    format: Literal["npy"] = Field(description="The layout of the files.")
    path: FilePath = Field(
        description="An .npz, .safetensors or .parquet with features (n x d, or n x height x width "
        "x channels), and perhaps n labels; or an .npy with the features."
    )
    labels: FilePath | None = Field(
        None,
        description="The labels that go with `path`: an .npy, a .txt with one per line, or a .csv. "
        "null: they are in `path`.",
    )
    validation_labels: FilePath | None = Field(
        None, description="The labels that go with a `validation` file."
    )
    test_labels: FilePath | None = Field(None, description="The labels that go with a `test` file.")
    labels_column: Text | None = Field(
        None, description="The column of a .csv that holds the labels."
    )
    features_name: Text | None = Field(
        None,
        description="The features' array in an .npz or .safetensors, or their column in a "
        ".parquet. null: x, X, features, or the only one.",
    )
    labels_name: Text | None = Field(
        None,
        description="The labels' array or column in such a file. null: y, Y, labels or label, if "
        "there is one.",
    )
    memory: Memory = Field(
        "auto",
        description="How much memory features may take, as in 2 GB. If they are larger, they are "
        "read in blocks and shuffled within a buffer. auto: half of what is free. all: no limit.",
    )
    classes: Classes | None = Field(
        None,
        description="The number of classes, or a list of their names: integer labels are then "
        "numbers from 0, and texts are names in the list. null: the distinct training labels.",
    )
    groups: FilePath | None = Field(
        None,
        description="The group of each training example (say, a patient), an integer or text: an "
        ".npy, a .txt or a .csv. Held-out parts are drawn by whole groups.",
    )
    groups_column: Text | None = Field(
        None, description="The column of a .csv that holds the groups."
    )
    weights: FilePath | None = Field(
        None,
        description="A factor >= 0 per training example on its loss: an .npy or a .txt. Means are "
        "still divided by n. Validation and test stay unweighted.",
    )


class SyntheticData(DataSection):
    """CIFAR-like images made from `seed`: a smooth template per class, shifts, light and noise."""

    path_keys: ClassVar[tuple[str, ...]] = ()

    format: Literal["synthetic"] = Field(description="The layout of the files.")
    examples: int = Field(
        12000, ge=1, le=1_000_000, description="Examples in all, before any split."
    )
    classes: int = Field(10, ge=2, le=1000, description="The number of classes.")
    size: int = Field(32, ge=1, le=256, description="Height and width of the images in pixels.")
    channels: Annotated[Literal[1, 3], BeforeValidator(not_a_boolean)] = Field(
        3, description="1: grey; 3: colour."
    )


Data = Annotated[
    Cifar10Data | Cifar100Data | IdxData | NpyData | SyntheticData, Field(discriminator="format")
]
