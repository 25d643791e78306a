"""Loading data files that must be refused, and making IDX ones."""

import struct

import pytest
from hypothesis import settings

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset
from backprop_cli.sources import survey

SETTINGS = settings(derandomize=True, deadline=None, max_examples=80)
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def load(data, dtype="float32"):
    """Read, and look through, the data of a config."""
    found = load_dataset(check_config(f"data: {{{data}}}", "test").data)
    survey(found, "none", dtype)
    return found


def refused(data, *words, dtype="float32"):
    with pytest.raises(DataError) as refusal:
        load(data, dtype)
    said = str(refusal.value)
    assert len(said.splitlines()) == 1, said
    for word in words:
        assert word in said, said
    return said


def idx(shape, content, code=0x08):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def of(folder, more=""):
    return f"format: idx, path: '{folder}', test: 0, validation: 0{more}"
