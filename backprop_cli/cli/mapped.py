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
    Python code cannot run in that thread, so another one waits for the news. It needs the
    interpreter's lock, which the kernels do not hold while they read, nor does NumPy where it takes
    rows by their numbers or copies more than 500 numbers.
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

            names, what = ", ".join(map(str, shortened_files())), "became shorter while it was read"
            if not names:  # part of it may be in a bad place of the disk
                names, what = "a mapped file", f"{what}, or could not be read"
            stderr = sys.__stderr__  # also of a process that is not to speak: it cannot be asked
            if stderr is not None:
                line = f"Error: {names}: {what}"
                stderr.write(printable(line) + "\n")
                stderr.flush()
            os._exit(2)
