"""`python -m boocode_sessions` is `boocode-sessions`."""

from boocode_sessions.cli import main

main()
