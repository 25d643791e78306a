"""``backprop``, and ``python -m backprop_cli``: signals are taken before anything is imported."""

from backprop_cli.cli.signals import Stopped, stops


def main() -> None:
    """Run the command line; see `backprop_cli.cli.main.main`."""
    stops.catch()
    try:
        from backprop_cli.cli.main import main as command_line
    except BaseException as error:
        # What an interrupted import raises is not always what the signal raised.
        if stops.signal is None and not isinstance(error, Stopped):
            raise
        stops.leave()
    try:
        command_line()
    finally:
        stops.ignore()


if __name__ == "__main__":
    main()
