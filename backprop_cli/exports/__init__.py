"""Trained models as files of other libraries."""

from backprop_cli.exports.formats import FORMATS, Format, export
from backprop_cli.exports.raw import RawClassifier, raw_classifier

__all__ = ["FORMATS", "Format", "RawClassifier", "export", "raw_classifier"]
