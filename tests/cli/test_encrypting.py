"""generate-key, reencrypt, and the commands over an encrypted store; --redact."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from boocode_sessions import ClaudeSessionRepository
from tests.cli.conftest import Terminal
from tests.cli.test_documented import json_keys
from tests.files.sample import MAIN, message

SECRET = "AKIA" + "IOSFODNN7EXAMPLE"


@pytest.fixture
def dialect() -> str:
    return "sqlite"


def test_a_store_is_encrypted_and_read_with_its_key(terminal: Terminal, tmp_path: Path) -> None:
    engine = create_engine(terminal.database.url)
    ClaudeSessionRepository(engine).append(MAIN, [message(1, f"where is {SECRET}?")])
    engine.dispose()
    assert "no key" in terminal.run("reencrypt").err
    key = terminal.run("generate-key", "--id", "2026-11").out.strip()
    file = tmp_path / "keys"
    file.write_text(f"# the newest\n{key}\n")
    terminal.env["BOOCODE_SESSIONS_KEY_FILE"] = str(file)
    refused = terminal.run("reencrypt")
    assert (refused.status, refused.out) == (2, "")
    assert "--from-plain" in refused.err
    done = terminal.run("reencrypt", "--from-plain", "--json")
    assert set(done.json) == json_keys("reencrypt")
    assert done.json == {"entries": 1, "summaries": 1, "unplaced": 0}
    assert "0 entries and 0 summaries encrypted" in terminal.run("reencrypt").out
    assert SECRET in terminal.run("list").out
    for arguments in (["show"], ["show", "--format", "jsonl"], ["show", "--all", "--format", "markdown"]):
        assert SECRET in terminal.run(*arguments).out
        redacted = terminal.run(*arguments, "--redact")
        assert SECRET not in redacted.out + redacted.err
        assert "redacted: aws-access-key, 1 value in 1 place" in redacted.err
    assert terminal.run("export", str(tmp_path / "out"), "--redact").status == 0
    assert SECRET not in next((tmp_path / "out").rglob("*.jsonl")).read_text()
    assert "search is off" in terminal.run("search", "where").err
    assert terminal.run("usage").status == terminal.run("tools").status == terminal.run("status").status == 0
    del terminal.env["BOOCODE_SESSIONS_KEY_FILE"]
    missing = terminal.run("show")
    assert missing.status == 2
    assert "encrypted" in missing.err
    for arguments in (["show"], ["list"], ["export", str(tmp_path / "again")], ["tail"]):
        assert "BOOCODE_SESSIONS_KEY_FILE" in terminal.run(*arguments).err


def test_a_file_without_a_key_is_one_line(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xff\xfe secret")
    terminal.env["BOOCODE_SESSIONS_KEY_FILE"] = str(file)
    done = terminal.run("list")
    assert done.status == 2
    assert "no encryption key" in done.err
    terminal.env["BOOCODE_SESSIONS_KEY_FILE"] = str(tmp_path / "nofile")
    done = terminal.run("list")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"error: BOOCODE_SESSIONS_KEY_FILE: {tmp_path}/nofile: No such file or directory\n"
    terminal.env["BOOCODE_SESSIONS_KEYS"] = "x"
    assert "which of the two" in terminal.run("list").err


def test_patterns_of_yours_are_redacted_too(terminal: Terminal, tmp_path: Path) -> None:
    engine = create_engine(terminal.database.url)
    ClaudeSessionRepository(engine).append(MAIN, [message(1, f"where is ACME-1, BOLT-2 or {SECRET}?")])
    engine.dispose()
    patterns = ["--redact-pattern", "customer=ACME-[0-9]", "--redact-pattern", r"partner=BOLT-(\d)"]
    shown = terminal.run("show", *patterns)
    assert "where is [redacted:customer:1], BOLT-[redacted:partner:1] or [redacted:aws" in shown.out
    assert "redacted: customer, 1 value in 1 place" in shown.err
    site = tmp_path / "site"
    done = terminal.run("export", str(site), "--format", "html", "--redact", *patterns)
    assert "redacted: customer" in done.err
    written = "".join(page.read_text() for page in site.rglob("*.html"))
    assert "[redacted:customer:1]" in written
    assert not [one for one in ("ACME-1", "BOLT-2", SECRET) if one in written]
    for wrong, said in (("x", "NAME=REGEX"), ("x=", "NAME=REGEX"), ("x=(", "no regular"), ("a b=x", "NAME")):
        refused = terminal.run("show", "--redact-pattern", wrong)
        assert (refused.status, refused.out) == (2, "")
        assert said in refused.err
