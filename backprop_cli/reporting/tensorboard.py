"""The history of a run for TensorBoard, in the format of tensorboardX."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from backprop_cli.errors import OutputError
from backprop_cli.runs.run_directory import make_inner_folder


class TensorBoardLog:
    """Writes an event file with the figures of every epoch.

    Each start has a file of its own. It says from which epoch on earlier files are void: a run that
    goes on repeats the epochs after its checkpoint.

    Parameters
    ----------
    folder
        Made if it is not there.
    first_epoch
        The one that is trained next, from 1.

    Raises
    ------
    OutputError
        Nothing can be written there; so do the methods.
    """

    def __init__(self, folder: pathlib.Path, first_epoch: int) -> None:
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter

        self._folder, self._events = folder, event_pb2
        make_inner_folder(folder)
        # Written in this thread, where errors are noticed, unlike those of SummaryWriter's.
        with self._told():
            # TensorBoard reads files in the order of their names.
            name = f"events.out.tfevents.{time.time_ns()}.{secrets.token_hex(8)}"
            self._writer = RecordWriter(str(folder / name))
            self._add(0, file_version="brain.Event:2")
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(first_epoch, session_log=start)
            self._writer.flush()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Write the figures of an epoch; those of its steps are train_steps/loss and the like."""
        train = "train_steps" if record.get("train_figures") == "steps" else "train"
        from tensorboardX.summary import scalar

        with self._told():
            for key, value in record.items():
                if key in ("epoch", "seconds", "train_figures") or value is None:
                    continue
                parts = key.startswith(("train_", "valid"))
                name = "/".join(key.split("_", 1)) if parts else key
                name = name.replace("train/", f"{train}/")
                self._add(record["epoch"], summary=scalar(name, value))
            self._writer.flush()

    def close(self) -> None:
        """Close the file; what it holds was flushed before."""
        with contextlib.suppress(OSError):
            self._writer.close()

    def _add(self, step: int, **content: Any) -> None:
        event = self._events.Event(wall_time=time.time(), step=step, **content)
        self._writer.write(event.SerializeToString())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot write: {error.strerror or error}") from error
