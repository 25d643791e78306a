"""Folders of IDX and CIFAR-10 files, for several modules of tests."""

import numpy as np
import pytest

from tests.formats.broken import IMAGES, LABELS, idx
from tests.formats.published_cifar import NAMES, meta_of, pixels_of, published


@pytest.fixture
def mnist(tmp_path):
    """A folder with six images of 2 x 3 pixels."""
    (tmp_path / IMAGES).write_bytes(idx((6, 2, 3), bytes(range(36))))
    (tmp_path / LABELS).write_bytes(idx((6,), bytes([0, 1, 2, 0, 1, 2])))
    return tmp_path


@pytest.fixture
def cifar10(tmp_path):
    """Two training files and a test file, in both layouts."""
    names = ["data_batch_1", "data_batch_2", "test_batch"]
    content = {
        name: (pixels_of(5, k), np.arange(5) * 2 % 10 + k % 2) for k, name in enumerate(names)
    }
    for layout in ("python", "binary"):
        (tmp_path / layout).mkdir()
    for name, (pixels, labels) in content.items():
        (tmp_path / "python" / name).write_bytes(published(pixels, labels=labels))
        records = b"".join(bytes([y]) + x.tobytes() for x, y in zip(pixels, labels, strict=True))
        (tmp_path / "binary" / f"{name}.bin").write_bytes(records)
    (tmp_path / "python" / "batches.meta").write_bytes(meta_of(label_names=NAMES))
    (tmp_path / "binary" / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return tmp_path, content
