"""`boocode-sessions`, the command line. See docs/command-line.md."""

import gc
import os
import signal
import sys

INTERRUPTED = 130
"""The exit status after Ctrl-C."""
EXTRA = "the command line needs its libraries: run `pip install 'boocode-sessions[cli]'`"


def main() -> None:
    """Run the command that the arguments name, and exit with its status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
    # Imported objects stay. Searching them for garbage takes a twelfth of the time of `list`.
    gc.set_threshold(100_000)
    try:
        from boocode_sessions.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "platformdirs"}:
            raise
        sys.stderr.write(f"error: {EXTRA}\n")
        sys.exit(2)
    # typer reads the parameters of every registered command: a twenty-fifth of the time of `list`.
    if named := [command for command in app.registered_commands if command.name in sys.argv[1:2]]:
        app.registered_commands = named
    try:
        app(prog_name="boocode-sessions")
    finally:
        # At exit Python would search all objects again: a sixth of the time of `list`.
        gc.freeze()


def leave(*_: object) -> None:
    """Handle Ctrl-C until a command runs: a KeyboardInterrupt inside an import would print a traceback."""
    os._exit(INTERRUPTED)
