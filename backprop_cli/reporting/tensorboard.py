"""The history of a run for TensorBoard, written by tensorboardX."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any


class TensorBoardLog:
    """Writes an event file with the figures of every epoch."""

    def __init__(self, folder: pathlib.Path) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Write the figures of an epoch."""
        for key, value in record.items():
            if key not in ("epoch", "seconds") and value is not None:
                name = "/".join(key.split("_", 1)) if key.startswith(("train_", "valid")) else key
                self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
