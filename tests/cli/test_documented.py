"""docs/command-line.md names every command, option and JSON key, and none that is not there."""

import re

import pytest
import typer.main

from boocode_sessions.cli.app import app
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "command-line.md").read_text()
COMMANDS: dict[str, typer.core.TyperCommand] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
EVERYWHERE = {"--url", "--schema", "--timezone", "--help", "-h"}


def section(command: str) -> str:
    """What the page says of a command."""
    found = re.search(rf"^### {command}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def json_keys(command: str) -> set[str]:
    """The keys that the page names for a command's --json."""
    row = re.search(r"^\| `--json` \| ([^|]*)\|$", section(command), re.MULTILINE)
    assert row, f"{command} --json is not documented"
    return set(re.findall(r"`(\w+)`", row[1].partition(";")[0]))


def test_every_command_has_its_section() -> None:
    assert set(re.findall(r"^### (\S+)$", PAGE, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_documented_and_no_other(command: str) -> None:
    real = {name for param in COMMANDS[command].params for name in param.opts if name.startswith("-")}
    documented = set(re.findall(r"`(--[a-z][a-z-]*|-[a-z]\b)(?![\w-])", section(command)))
    assert real - EVERYWHERE <= documented
    assert documented <= real | EVERYWHERE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_explains_itself(command: str) -> None:
    assert COMMANDS[command].help
    for param in COMMANDS[command].params:
        assert getattr(param, "help", None), f"{command} {param.name}"


def test_the_options_for_all_commands_are_documented() -> None:
    for name in (name for param in typer.main.get_command(app).params for name in param.opts):
        assert f"{name}`" in PAGE or f"`{name} " in PAGE
