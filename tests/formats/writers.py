"""Small files in the published formats, written from the formats' descriptions."""

import gzip
import pickle
import struct

import numpy as np


def _short(text):
    return b"U" + bytes([len(text)]) + text


def _long(value):
    return b"J" + struct.pack("<i", value)


def _labels(labels):
    return b"](" + b"".join(b"K" + bytes([k]) for k in labels) + b"e"


def python2_pickle(pixels, **labels):
    """What Python 2's cPickle, protocol 2, makes of a CIFAR batch: bytes by opcode."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + _long(pixels.shape[0]) + _long(pixels.shape[1]) + b"\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN"
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", pixels.nbytes) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    items = b"".join(_short(key.encode()) + _labels(value) for key, value in labels.items())
    return b"\x80\x02}(" + _short(b"data") + array + items + b"u."


def python3_pickle(pixels, **labels):
    """What Python 3 makes of the same dictionary."""
    content = {key.encode(): list(map(int, value)) for key, value in labels.items()}
    return pickle.dumps({b"data": pixels, **content}, protocol=2)


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)


def write_cifar10(folder, batches, pickled=python2_pickle):
    """Write both layouts below ``folder``; ``batches`` maps a name to (pixels, labels)."""
    names = [f"name {k}" for k in range(10)]
    for layout in ("py", "bin"):
        (folder / layout).mkdir(parents=True)
    for name, (pixels, labels) in batches.items():
        (folder / "py" / name).write_bytes(pickled(pixels, labels=labels))
        records = np.concatenate([np.array(labels, np.uint8)[:, None], pixels], axis=1)
        (folder / "bin" / f"{name}.bin").write_bytes(records.tobytes())
    meta = {b"label_names": [name.replace(" ", "_").encode() for name in names]}
    (folder / "py" / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    (folder / "bin" / "batches.meta.txt").write_text("\n".join(meta_text(meta)) + "\n\n")


def meta_text(meta):
    return [name.decode() for name in meta[b"label_names"]]


def write_cifar100(folder, batches):
    for layout in ("py", "bin"):
        (folder / layout).mkdir(parents=True)
    for name, (pixels, coarse, fine) in batches.items():
        content = python2_pickle(pixels, coarse_labels=coarse, fine_labels=fine)
        (folder / "py" / name).write_bytes(content)
        records = np.concatenate([np.array([coarse, fine], np.uint8).T, pixels], axis=1)
        (folder / "bin" / f"{name}.bin").write_bytes(records.tobytes())
    for kind, n in (("fine", 100), ("coarse", 20)):
        names = [f"{kind}{k}" for k in range(n)]
        (folder / "bin" / f"{kind}_label_names.txt").write_text("\n".join(names))
    meta = {
        f"{kind}_label_names".encode(): [f"{kind}{k}".encode() for k in range(n)]
        for kind, n in (("fine", 100), ("coarse", 20))
    }
    (folder / "py" / "meta").write_bytes(pickle.dumps(meta, protocol=2))


def idx(array, code):
    """Return an IDX file: zero, zero, type, dimensions, sizes, big-endian values."""
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, part, pixels, labels, zipped=False):
    for kind, array in (("images-idx3", pixels), ("labels-idx1", np.array(labels, np.uint8))):
        content = idx(array, 0x08)
        name = f"{part}-{kind}-ubyte"
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
