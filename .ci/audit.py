"""Asks for known holes in what is installed, and in the lowest versions that pyproject.toml declares.

Exits with 1 where there are some. Where the index of vulnerabilities can't be asked, or does not know a
package, it says so and exits with 0, or with `--strict` with 2.
"""

import json
import subprocess
import sys
from pathlib import Path

LOWEST = Path(__file__).with_name("lowest.py")
SECONDS = 180
_UNASKED = 2
"""The status where something was not asked."""


def ask(*options: str, given: str = "") -> str:
    """What pip-audit answers, as JSON; nothing where it can't ask."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", *options]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, input=given, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def tell(what: str, answer: str) -> tuple[int, list[str]]:
    """What an answer means: the program's status without and with holes, and lines to print.

    A package that the index does not know is skipped by pip-audit, which then finds no hole in it: a mirror
    of PyPI that has packages and no vulnerabilities knows none.
    """
    try:
        packages = json.loads(answer)["dependencies"]
    except ValueError:
        packages = []
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return _UNASKED, [f"audit: {what}: the index of vulnerabilities can't be asked from here"]
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, fixed in {hole['fix_versions']}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    asked = len(packages) - len(unknown)
    lines = [f"audit: {what}: {len(holes)} known holes, {asked} packages asked", *holes]
    if unknown:
        lines.append(f"audit: {what}: the index does not know {', '.join(unknown)}")
    return 1 if holes else _UNASKED if unknown else 0, lines


def main() -> int:
    """Ask, and print."""
    lowest = subprocess.run([sys.executable, LOWEST], capture_output=True, text=True, check=True).stdout  # noqa: S603
    answers = {
        "what is installed": ask("--skip-editable"),
        "the lowest versions": ask("--no-deps", "--disable-pip", "--requirement", "/dev/stdin", given=lowest),
    }
    told = [tell(what, answer) for what, answer in answers.items()]
    for _, lines in told:
        print("\n".join(lines))  # noqa: T201
    statuses = {status for status, _ in told} - (set() if "--strict" in sys.argv else {_UNASKED})
    return min(statuses - {0}, default=0)


if __name__ == "__main__":
    sys.exit(main())
