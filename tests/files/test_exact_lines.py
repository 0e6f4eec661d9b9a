"""A line comes back exactly, however it was written: also one whose own text is stored."""

import json
import uuid
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, SessionKey
from boocode_sessions.jsonl import export_tree, import_tree
from tests.fixtures.json_values import told_apart, values

NUMBERS = [
    "-0",
    "-0.0",
    "-0.00",
    "0.0",
    "1.50",
    "1e5",
    "1E+2",
    "1.0e-7",
    "1e400",
    "-1e400",
    "1e-400",
    "100000000000000000000.0",
    "123456789012345680.0",
    "0.1000000000000000055511151231257827",
    "0." + "1" * 400,
    "1" * 400 + ".5",
    "9" * 4300,
]
"""As other programs write them; Python's own json writes few of these forms."""

lines = st.one_of(
    st.builds(
        lambda value, ascii_only, spaced: json.dumps(
            {"type": "x", "value": value},
            ensure_ascii=ascii_only,
            separators=(" , ", "\t: ") if spaced else (",", ":"),
        ),
        values,
        st.booleans(),
        st.booleans(),
    ),
    st.sampled_from(NUMBERS).map('{{"type":"x","n":[{}]}}'.format),
    st.sampled_from(
        [
            '{"a":1,"a":2.0,"a":"\\u0000"}',
            ' \t{"type":"x"} \r',
            '{"s":"\\ud83d\\ude00 \\uD83D \\/ \\u0041"}',
            '{"s":"\\\\u0000 \\\\ud800"}',
            '{"deep":' + "[" * 898 + "]" * 898 + "}",
        ]
    ),
)


def storable(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(lines.map(storable).filter(bool), min_size=1, max_size=30))
def test_a_line_comes_back_exactly_and_once(engine: Engine, tmp_path: Path, raw: list[bytes]) -> None:
    key: SessionKey = {"project_key": uuid.uuid4().hex, "session_id": "s"}
    file = tmp_path / key["project_key"] / "s.jsonl"
    file.parent.mkdir()
    file.write_bytes(b"\n".join(raw))
    expected: list[Any] = []
    for line in raw:
        entry = json.loads(line)
        if "inf" not in json.dumps(entry).lower():  # an overflow, which JSON can't write
            expected.append(entry)
    result = import_tree(engine, file.parent)
    assert (result.added, result.broken) == (len(expected), len(raw) - len(expected))
    stored = ClaudeSessionRepository(engine).load(key) or []
    assert told_apart(stored) == told_apart(expected)
    assert import_tree(engine, file.parent).added == 0

    export_tree(engine, tmp_path / "out", project_key=key["project_key"])
    if expected:
        written = (tmp_path / "out" / key["project_key"] / "s.jsonl").read_bytes().splitlines()
        assert told_apart([json.loads(line) for line in written]) == told_apart(expected)
        assert import_tree(engine, tmp_path / "out" / key["project_key"]).added == 0
