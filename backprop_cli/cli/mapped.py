"""A mapped file that becomes shorter while it is read: one line in place of a bus error."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading


@functools.cache  # once per process
def tell_of_shortened_files() -> None:
    """Let the process end with a message when it reads what a mapped file no longer has.

    The system sends SIGBUS to the thread that reads, again and again, as the read is tried again.
    Python code cannot run in that thread, so another one waits for the news. NumPy and the kernels
    do not hold the interpreter's lock while they read.
    """
    if not hasattr(signal, "SIGBUS"):
        return
    news, post = os.pipe()
    os.set_blocking(post, False)
    signal.signal(signal.SIGBUS, lambda number, frame: None)
    signal.set_wakeup_fd(post, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(news,), daemon=True).start()


def _wait(news: int) -> None:
    while True:
        if signal.SIGBUS in os.read(news, 1):
            from backprop_cli.errors import printable
            from backprop_cli.sources.watched import shortened_files

            names = ", ".join(map(str, shortened_files())) or "a mapped file"
            stderr = sys.__stderr__  # also of a process that is not to speak: it cannot be asked
            if stderr is not None:
                line = f"Error: {names}: became shorter while it was read"
                stderr.write(printable(line) + "\n")
                stderr.flush()
            os._exit(2)
