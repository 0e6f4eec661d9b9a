"""What is handed on with --redact holds no secret, and is a transcript still."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository
from boocode_sessions.jsonl import export_tree
from boocode_sessions.redaction import Redacted, Redactor
from tests.files.sample import MAIN, message

AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
ANTHROPIC = "sk-ant-" + "api03-Zz9" * 4
PASSWORD = "hunter2" + "hunter2"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE" + "abcd" * 20 + "\n-----END RSA PRIVATE KEY-----"
LEAF = message(3)["uuid"]
CUSTOMER = "ACME-123456"
SECRETS = (AWS, GITHUB, ANTHROPIC, PASSWORD, "MIIEabcd", CUSTOMER)


def lines() -> list[dict[str, Any]]:
    block = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": f"export A={AWS}"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": KEY}]}
    return [
        message(1, f"use {AWS} and {GITHUB}, then {ANTHROPIC} for {CUSTOMER}"),
        {
            **message(2),
            "type": "assistant",
            "message": {"id": "msg_1", "role": "assistant", "content": [block]},
        },
        {
            **message(3),
            "message": {"role": "user", "content": [result]},
            "toolUseResult": {AWS: [f"password: {PASSWORD}"]},
        },
        {
            "type": "last-prompt",
            "lastPrompt": f'{{"db_password": "{PASSWORD}"}}',
            "leafUuid": message(3)["uuid"],
        },
    ]


def test_an_export_holds_no_secret_and_its_structure(engine: Engine, tmp_path: Path) -> None:
    ClaudeSessionRepository(engine).append(MAIN, lines())
    redactor = Redactor({"customer": r"\bACME-\d{6}\b"})
    export_tree(engine, tmp_path, redact=redactor.entry)
    (file,) = tmp_path.rglob("*.jsonl")
    text = file.read_text()
    assert not [secret for secret in SECRETS if secret in text]
    exported = [json.loads(line) for line in text.splitlines()]
    assert [line.get("uuid") for line in exported] == [line.get("uuid") for line in lines()]
    assert exported[1]["message"]["content"][0]["id"] == exported[2]["message"]["content"][0]["tool_use_id"]
    assert exported[3]["leafUuid"] == lines()[3]["leafUuid"]
    assert text.count("[redacted:aws-access-key:1]") == 3
    assert exported[0]["message"]["content"].endswith("for [redacted:customer:1]")
    assert Redacted("customer", 1, 1) in redactor.report
    assert Redacted("aws-access-key", 1, 3) in redactor.report
    assert not [secret for secret in SECRETS if secret in repr(redactor.report)]


def test_what_holds_no_secret_stays_as_it_is() -> None:
    redactor = Redactor()
    for line in (
        message(1, "the token count is 12, and a password is needed"),
        {"type": "x", "n": [1.5, None, True]},
    ):
        assert redactor.entry(line) == line
    assert redactor.report == []
    twice = Redactor().entry(Redactor().entry(lines()[0]))
    assert "redacted:[redacted" not in json.dumps(twice)
