"""Where examples come from: sources and their splits, and what one pass over them finds."""

from backprop_cli.sources.image import ImageLayout, from_planes, to_planes
from backprop_cli.sources.layout import Extent
from backprop_cli.sources.scattered import Scattered
from backprop_cli.sources.sorting import class_correlation, is_sorted
from backprop_cli.sources.source import Block, Dataset, FileRows, Source, Split, place_in
from backprop_cli.sources.statistics import MIN_STD, Standardization
from backprop_cli.sources.stored import StoredFeatures
from backprop_cli.sources.survey import Survey, check_features, survey
from backprop_cli.sources.watched import WatchedFile

__all__ = [
    "MIN_STD",
    "Block",
    "Dataset",
    "Extent",
    "FileRows",
    "ImageLayout",
    "Scattered",
    "Source",
    "Split",
    "Standardization",
    "StoredFeatures",
    "Survey",
    "WatchedFile",
    "check_features",
    "class_correlation",
    "from_planes",
    "is_sorted",
    "place_in",
    "survey",
    "to_planes",
]
