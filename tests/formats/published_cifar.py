"""CIFAR in the bytes of the published files: every opcode that Python 2 wrote, memo and all."""

import struct

import numpy as np

from backprop_cli.config import check_config
from backprop_cli.formats import load_dataset

RECORD = 3072
NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TWO_FILES = "data.train=[data_batch_1, data_batch_2]"


def short(text):
    return b"U" + bytes([len(text)]) + text.encode()


def integers(values):
    return b"".join(b"K" + bytes([value]) for value in values)


def published(pixels, memo=True, **labels):
    """Return a batch as cPickle, protocol 2, wrote it; numbers after ``q`` are its memo's."""
    count = iter(range(1, 200))

    def put():
        return b"q" + bytes([next(count)]) if memo else b""

    rows = b"M" + struct.pack("<H", len(pixels))
    parts = [
        b"\x80\x02}",
        put(),
        b"(",
        short("batch_label"),
        put(),
        short("training batch 1"),
        put(),
    ]
    for key, values in labels.items():
        parts += [short(key), put(), b"]", put(), b"(", integers(values), b"e"]
    parts += [
        short("data"), put(), b"cnumpy.core.multiarray\n_reconstruct\n", put(),
        b"cnumpy\nndarray\n", put(), b"K\x00\x85", short("b"), put(), b"\x87R", put(),
        b"(K\x01", rows, b"M\x00\x0c\x86", b"cnumpy\ndtype\n", put(), short("u1"),
        b"K\x00K\x01\x87R", put(), b"(K\x03", short("|"), b"NNN",
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", struct.pack("<i", pixels.nbytes),
        pixels.tobytes(), b"tb", short("filenames"), put(), b"]", put(), b"(",
        b"".join(short(f"image_s_{k:06}.png") + put() for k in range(len(pixels))), b"eu.",
    ]  # fmt: skip
    return b"".join(parts)


def pixels_of(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, RECORD), dtype=np.uint8)


def meta_of(**names):
    lists = b"".join(
        short(key) + b"](" + b"".join(map(short, values)) + b"e" for key, values in names.items()
    )
    return b"\x80\x02}q\x01(" + short("num_vis") + b"M\x00\x0c" + lists + b"u."


def load(kind, path, *overrides):
    text = f"data: {{format: {kind}, path: {path}, validation: 0}}"
    return load_dataset(check_config(text, "test", overrides).data)
