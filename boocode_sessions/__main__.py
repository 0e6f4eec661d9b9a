"""Run the command line: `python -m boocode_sessions` does what `boocode-sessions` does."""

from boocode_sessions.cli import main

main()
