"""Lines of transcript files, damaged ones too, and the form in which they are written."""

import json
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import list_sessions

from boocode_sessions._core.codec import LineReader, write_line
from boocode_sessions.errors import InvalidEntryError

SESSION = "0b0e7c3e-8a0f-4e0f-9d61-0a1a70ff0001"
ONE: dict[str, Any] = {"type": "user", "sessionId": "s", "message": {"type": "message", "content": "{é"}}
TWO: dict[str, Any] = {"type": "assistant", "sessionId": "s", "text": "\0 \ud800 }{"}
A = json.dumps(ONE, ensure_ascii=False).encode()
THREE: dict[str, Any] = {"type": "summary", "summary": "{}", "leafUuid": "u"}
"""A line that names no session."""
B = json.dumps(TWO).encode()
C = json.dumps(THREE).encode()
TORN = A[:-5]


@pytest.mark.parametrize("as_is", [True, False])
@pytest.mark.parametrize(
    ("line", "entries", "left"),
    [
        (A, [ONE], 0),
        (A + B, [ONE, TWO], 0),
        (B + b" \r" + A + A, [TWO, ONE, ONE], 0),
        (b"\0" * 4096 + A, [ONE], 0),
        (b"\0\0" + A + b"\0" + B + b"\0", [ONE, TWO], 0),
        (b"\xef\xbb\xbf" + A, [ONE], 0),
        (A + b"{}", [ONE, {}], 0),
        (A + TORN, [ONE], len(TORN)),
        (TORN + B, [TWO], len(TORN)),
        (TORN + b"\0\0" + B + A, [TWO, ONE], len(TORN)),
        (A + b"torn" + B + b"x", [ONE, TWO], 5),
        (A + b'{"a":1e400}', [ONE], 11),
        (A + b'{"a":NaN}', [ONE], 9),
        (A + b"7", [ONE], 1),
        (A + B + C + A, [ONE, TWO, THREE, ONE], 0),
        (TORN + C, [THREE], len(TORN)),
        (C + b"torn" + C + b"\0x\0" + C, [THREE, THREE, THREE], 5),
        (b"2026-01-01 [info] " + C, [THREE], 17),
        (b'ex function() {} of","uuid":"u"}' + C, [THREE], 32),
        (b'{"data":[' + B + b", " + B, [TWO, TWO], 10),
    ],
)
def test_every_whole_record_of_a_line_is_read(
    line: bytes, entries: list[Any], left: int, as_is: bool
) -> None:
    found, problem = LineReader(as_is=as_is).read_all(line)
    assert [item.entry for item in found] == entries
    assert [json.loads(item.verbatim or item.json) for item in found] == entries
    assert problem == (f"{left} bytes of it are no whole record" if left else None)


@pytest.mark.parametrize("as_is", [True, False])
def test_bytes_that_are_not_utf_8_are_read_as_the_agent_reads_them(as_is: bool) -> None:
    odd = "it is not UTF-8 everywhere: what is not is kept as \ufffd"
    found, problem = LineReader(as_is=as_is).read_all(A + b'{"a":"\xe9\xf0\x9f"}' + B)
    assert [item.entry for item in found] == [ONE, {"a": "\ufffd\ufffd"}, TWO]
    assert problem == odd
    found, problem = LineReader(as_is=as_is).read_all(TORN + b"\xff" + B)
    assert [item.entry for item in found] == [TWO]
    assert problem is not None
    assert problem.startswith(f"{odd}; ")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", "it is not JSON"),
        (b"\0" * 100, "it is not JSON"),
        (TORN, "it is not JSON"),
        (b'{"message":' + A.replace(b"sessionId", b"uuid"), "it is not JSON"),
        (b'{"type":"user","message":{"type":"message","role":"user"}', "it is not JSON"),
        (b'{"type":"user","content":[{"type":"text"},{"type":"text"}', "it is not JSON"),
        (b'"content":[{"type":"text","text":"{}"}', "it is not JSON"),
        (b'["secret"]', "it is JSON, but not an object"),
        (b'"secret":"\xff"', "it is not UTF-8"),
        (b'{"a":' * 100_000, "it is nested too deeply for Python's json"),
        (b'{"a":{"' * 100_000, "it is not JSON"),
    ],
)
def test_a_member_of_a_torn_record_is_no_record(line: bytes, problem: str) -> None:
    with pytest.raises(InvalidEntryError) as refused:
        LineReader(as_is=True).read_all(line)
    assert str(refused.value) == problem
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"tag": "x", "type": "tag", "a": 1}, b'{"type":"tag","tag":"x","a":1}\n'),
        ({"b": "é\n", "a": 1.0}, '{"b":"é\\n","a":1.0}\n'.encode()),
        ({"a": "\ud800é", "type": None}, b'{"type":null,"a":"\\ud800\\u00e9"}\n'),
        ({}, b"{}\n"),
    ],
)
def test_type_comes_first_and_the_order_of_the_other_keys_stays(entry: Any, line: bytes) -> None:
    assert write_line(entry) == line


def test_the_sdks_reader_of_files_finds_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "projects" / "-work"
    folder.mkdir(parents=True)
    prompt = {"cwd": "/work", "message": {"role": "user", "content": "hello"}, "type": "user", "uuid": "u"}
    tag = {"tag": "kept", "sessionId": SESSION, "type": "tag"}
    (folder / f"{SESSION}.jsonl").write_bytes(write_line(prompt) + write_line(tag))
    (listed,) = list_sessions()
    assert listed.tag == "kept"
