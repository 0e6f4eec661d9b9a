"""What somebody is told who uses a part whose extra is not installed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("extra", "library", "use"),
    [
        ("sdk", "anyio", "import boocode_sessions.sdk"),
        ("sdk", "claude_agent_sdk", "from boocode_sessions.agents import ClaudeSdkBackend"),
        ("encryption", "cryptography", "import boocode_sessions.privacy"),
        ("otel", "opentelemetry", "import boocode_sessions.telemetry"),
        ("redaction", "detect_secrets", "from boocode_sessions.redaction import Redactor; Redactor()"),
        ("admin", "sqladmin", "import boocode_sessions.admin"),
    ],
)
def test_without_an_extra_the_error_says_what_to_install(extra: str, library: str, use: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; {use}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("boocode_sessions.errors.MissingExtraError: ")
    assert last.endswith(f"which is not installed: run `pip install 'boocode-sessions[{extra}]'`")
