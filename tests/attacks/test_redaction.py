"""What is handed on with --redact holds no secret, and is a transcript still."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey, migrations
from boocode_sessions.engine import create_engine
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.redaction import Redacted, Redactor
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.site import write_site
from tests.e2e.agent import Agent
from tests.e2e.conftest import agent, api
from tests.files.sample import MAIN, message

__all__ = ["agent", "api"]

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


def test_a_secret_has_one_name_in_all_files_of_an_export(engine: Engine, tmp_path: Path) -> None:
    repository = ClaudeSessionRepository(engine)
    keys: list[SessionKey] = [
        {"project_key": project, "session_id": f"s{number}", **more}  # type: ignore[typeddict-item]
        for project in ("p", "q")
        for number in range(4)
        for more in ({}, {"subpath": "subagents/agent-1"})
    ]
    for number, key in enumerate(keys):
        repository.append(key, [message(number, f"{AWS} and {'AKIA'}{number:016}")])
    redactor = Redactor()
    export_tree(engine, tmp_path, redact=redactor.entry)
    files = [path.read_text() for path in tmp_path.rglob("*.jsonl")]
    assert len(files) == len(keys)
    named = [re.findall(r"\[redacted:aws-access-key:\d+\]", text) for text in files]
    assert len({first for first, _ in named}) == 1
    assert len({second for _, second in named}) == len(keys)
    assert redactor.report == [Redacted("aws-access-key", len(keys) + 1, 2 * len(keys))]


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_an_agent_resumes_what_was_redacted(engine: Engine, agent: Agent, tmp_path: Path) -> None:
    turn = await agent.turn(f"Use {AWS} there.", SQLAlchemySessionStore(engine))
    export_tree(engine, tmp_path / "out", redact=Redactor().entry)
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    migrations.upgrade(other)
    import_tree(other, tmp_path / "out")
    await agent.turn("And now?", SQLAlchemySessionStore(other), resume=turn.session_id)
    other.dispose()
    heard = agent.api.last
    assert ("user", "Use [redacted:aws-access-key:1] there.") in heard.conversation
    assert ("user", "And now?") in heard.conversation
    assert AWS not in json.dumps(heard.body)


HIDDEN = "Tr0ub4dor"


@pytest.mark.parametrize(
    "said",
    [
        f"psql postgresql://ada:{HIDDEN}@db.example/app",
        f"git clone https://ada:{HIDDEN}@git.example/x.git",
        f"redis://:{HIDDEN}@cache:6379/0",
        f"amqp://ada:{HIDDEN}@with-at@broker/vhost",
        f"PASSWORD={HIDDEN}",
        f"export DB_PASSWORD='{HIDDEN} with spaces'",
        f'PGPASSWORD="{HIDDEN}, and; more" psql',
        f"MYSQL_PWD={HIDDEN} mysql",
        "DB_PASS=ab7!",
        f"host=db user=ada password={HIDDEN} dbname=x",
        f"password: {HIDDEN}",
        f'{{"db_password": "{HIDDEN} x"}}',
        f'{{\\"client_secret\\": \\"{HIDDEN}\\"}}',
        f"API_KEY={HIDDEN}",
        f"GITHUB_TOKEN={HIDDEN}",
        f"mysql --password={HIDDEN}",
        f"login --token {HIDDEN}",
        f"curl -s -u ada:{HIDDEN} https://api.example",
        f"Authorization: Bearer {HIDDEN}",
        f"auth_token = '{HIDDEN}'",
    ],
)
def test_a_password_is_found_in_the_forms_that_it_has(said: str) -> None:
    redactor = Redactor()
    redacted = redactor.text(said)
    for part in (HIDDEN, "with spaces", "and; more", "with-at@", "ab7!", HIDDEN[:5]):
        assert part not in redacted
    assert "[redacted:" in redacted
    assert redactor.text(redacted) == redacted
    assert "ada" in redacted or "ada" not in said, "the user's name is no secret"


@pytest.mark.parametrize("scheme", ["postgresql", "https", "redis"])
def test_only_the_password_of_a_url_is_replaced(scheme: str) -> None:
    redactor = Redactor()
    said = f"see {scheme}://ada:s3cretpw@db.example.com/app?x=1 please"
    assert redactor.text(said) == said.replace("s3cretpw", "[redacted:url-password:1]")
    assert [(found.kind, found.places) for found in redactor.report] == [("url-password", 1)]


def test_a_member_whose_name_says_that_it_is_a_secret_is_one() -> None:
    given = {"env": {"DB_PASSWORD": "x y", "accessToken": "z", "apiKeySource": "none", "n_tokens": "12"}}
    redacted = Redactor().entry({"type": "x", "toolUseResult": given})["toolUseResult"]["env"]
    assert redacted["DB_PASSWORD"].startswith("[redacted:password")
    assert redacted["accessToken"].startswith("[redacted:password")
    assert (redacted["apiKeySource"], redacted["n_tokens"]) == ("none", "12")


@pytest.mark.parametrize(
    "said",
    [
        "cd $PWD; PWD=/srv OLDPWD=/home",
        "MAX_TOKENS=4096 and max_tokens: 128000, input_tokens=123456",
        "password=None, token: null",
        "COMPASS=north BYPASS=1",
        "http://localhost:8000/path and user@example.com",
        "see https://example.com/a:b@c",
    ],
)
def test_what_is_no_password_stays(said: str) -> None:
    assert Redactor().text(said) == said


@pytest.mark.parametrize(
    "unit",
    [
        "token",
        "password",
        "api_key_",
        "TOKEN",
        "curl ",
        "curl -u ",
        "a.",
        "a://",
        "a://b:",
        "//x/:_authToken",
        "eyJ",
        "eyJ-",
        "eyJ.",
        "sk-",
        "sk-T3BlbkFJ",
        "-----BEGIN PRIVATE KEY-----",
        "authorization: bearer ",
        "--token ",
        "npm_",
        "xoxb-1-",
        "AKIA",
        "cos_hmac_secret",
        "softlayer_api_key_",
        "https://cloudant",
        "ibm_cloud_api_key ",
    ],
)
def test_a_hostile_text_takes_no_longer_than_another_of_its_length(unit: str) -> None:
    redactor = Redactor()
    began = time.process_time()
    redactor.text(unit * (100_000 // len(unit)))
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "said",
    [
        "Cookie: a=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl; b",
        "x_eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "//registry.npmjs.org/:_authToken=npm_c2lnbmF0dXJl",
        "//r/:_authToken= 0123abcd-0123-0123-0123-c2lnbmF0dXJl".replace("c2lnbmF0dXJl", "0123456789ab"),
        "sk-proj-" + "a1_-" * 20 + "b" * 20 + "T3BlbkFJ" + "c" * 20,
        "see -http://me:c2lnbmF0dXJl@host",
        "curl https://curl.se/ -u me:c2lnbmF0dXJl",
    ],
)
def test_a_secret_is_found_wherever_it_begins(said: str) -> None:
    redacted = Redactor().text(said)
    assert "[redacted:" in redacted
    assert not re.search("c2lnbmF0dXJl|eyJ|0123456789ab|T3BlbkFJ", redacted)


def test_a_site_holds_no_secret_and_is_written_again_where_that_changes(
    engine: Engine, tmp_path: Path
) -> None:
    repository = ClaudeSessionRepository(engine)
    other: SessionKey = {**MAIN, "session_id": "other"}
    repository.append(MAIN, lines())
    repository.append(other, [message(1, f"{GITHUB} first, then {AWS}")])

    def pages() -> str:
        return "".join(page.read_text() for page in tmp_path.rglob("*.html"))

    own = {"customer": r"\bACME-\d{6}\b"}
    assert write_site(engine, tmp_path).written == 2
    assert AWS in pages()
    assert write_site(engine, tmp_path, redact=Redactor(own)).written == 2
    assert not [secret for secret in SECRETS if secret in pages()], "in a page or in the index"
    assert write_site(engine, tmp_path, redact=Redactor(own)).written == 0
    assert not [secret for secret in SECRETS if secret in pages()]
    assert write_site(engine, tmp_path, redact=Redactor()).written == 2, "other patterns"
    assert CUSTOMER in pages()
    repository.append(other, [message(2, "more")])
    assert write_site(engine, tmp_path, redact=Redactor()).written == 2, "placeholders are numbered anew"
    assert write_site(engine, tmp_path).written == 2
