"""Starting the command line on several processes, by the mpiexec that the extra brings."""

import pathlib
import subprocess
import sys

MPIEXEC = str(pathlib.Path(sys.executable).parent / "mpiexec")
STATUS_OF_KILLED = 9  # of mpiexec, after a process that was killed


def started(n, args, *, on=None, **more):
    """Start ``backprop`` on n processes; ``on`` has lines of Python to run first, by rank."""
    command = [MPIEXEC]
    for rank in range(n):
        code = (
            f"{(on or {}).get(rank, '')}\nimport sys\n"
            f"sys.argv = {['backprop', *map(str, args)]!r}\n"
            "from backprop_cli.__main__ import main\nmain()"
        )
        command += [*([":"] if rank else []), "-n", "1", sys.executable, "-c", code]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def ended(process, seconds=60):
    """Return status, stdout and stderr of what `started` has started."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # mpiexec's processes end with it
        process.communicate()
        raise
    return process.returncode, out, err


def backprop(n, *args, on=None, **more):
    """Run ``backprop`` on n processes."""
    return ended(started(n, args, on=on, **more))
