"""Asks for known holes in what is installed, and in the lowest versions that pyproject.toml declares.

Exits with 1 where there are some. Where the index of vulnerabilities can't be asked, it says so and exits
with 0, or with `--strict` with 2.
"""

import json
import subprocess
import sys
from pathlib import Path

LOWEST = Path(__file__).with_name("lowest.py")
SECONDS = 180


def holes(*options: str, given: str = "") -> list[str] | None:
    """The holes that pip-audit finds; None where it can't ask."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *options]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, input=given, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return [
        f"{package['name']} {package['version']}: {hole['id']}, fixed in {hole['fix_versions']}"
        for package in found["dependencies"]
        for hole in package.get("vulns", ())
    ]


lowest = subprocess.run([sys.executable, LOWEST], capture_output=True, text=True, check=True).stdout  # noqa: S603
asked = {
    "what is installed": holes("--skip-editable"),
    "the lowest versions": holes("--no-deps", "--disable-pip", "--requirement", "/dev/stdin", given=lowest),
}
status = 0
for what, found in asked.items():
    if found is None:
        status = status or (2 if "--strict" in sys.argv else 0)
        print(f"audit: {what}: the index of vulnerabilities can't be asked from here")  # noqa: T201
    else:
        status = 1 if found else status
        print("\n".join([f"audit: {what}: {len(found)} known holes", *found]))  # noqa: T201
sys.exit(status)
