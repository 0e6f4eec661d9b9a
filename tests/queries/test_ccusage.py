"""What `usage` counts of a tree of transcripts is what ccusage counts of it, to the token.

The expected figures are those that ccusage 17.2.1 printed for this very tree:

    CLAUDE_CONFIG_DIR=<tree> npx ccusage@17 daily --json --offline --timezone UTC

Every line of a call has the same usage here: where it grows, ccusage takes the first line's, and we take the
largest.
"""

import json
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from boocode_sessions import queries
from boocode_sessions.jsonl import import_tree
from tests.queries.lines import DAY, Line, answer, at, prompt, result, tool_use

FROM_CCUSAGE = {
    ("2026-11-20", "claude-opus-5-5"): (31, 417, 5300, 950),
    ("2026-11-20", "claude-haiku-5-5"): (7, 90, 800, 120),
    ("2026-11-21", "claude-opus-5-5"): (12, 64, 2100, 40),
}
"""Input, output, read from the cache and written to it, by day and model."""

MAIN, FORK = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def called(
    number: int, tokens: tuple[int, int, int, int], *blocks: Line | str, **members: object
) -> list[Line]:
    """The lines of one call, one for each block, each with all of the call's usage."""
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    usage = dict(zip(names, tokens, strict=True))
    call = f"msg_{number}"
    made = [
        answer(
            f"a{number}.{place}", block, call=call, usage=usage, requestId=f"req_{number}", version="2.1.330"
        )
        for place, block in enumerate(blocks)
    ]
    return [{**line, "timestamp": at(number), **members} for line in made]


def write(path: Path, session_id: str, lines: list[Line]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [{**line, "sessionId": session_id, "cwd": "/home/me"} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in written))


def write_tree(tree: Path) -> None:
    """Two days, two models, calls of several lines, a subagent, and a resume that copied lines."""
    project = tree / "projects" / "-home-me"
    first = called(1, (10, 200, 1000, 400), "I look", tool_use("t1"), tool_use("t2"))
    second = called(2, (21, 217, 4300, 550), "done")
    notice = called(3, (0, 0, 0, 0), "no reply")
    notice[0]["message"]["model"] = "<synthetic>"
    main = [
        prompt("u1", "hello"),
        *first,
        result("r1", "t1", seconds=2),
        result("r2", "t2", seconds=3),
        *second,
    ]
    write(project / f"{MAIN}.jsonl", MAIN, [*main, *notice])
    subagent = called(4, (7, 90, 800, 120), "a part", "of it", isSidechain=True, agentId="abc")
    for line in subagent:
        line["message"]["model"] = "claude-haiku-5-5"
    write(project / MAIN / "subagents" / "agent-abc.jsonl", MAIN, subagent)
    next_day = at(5, DAY + timedelta(days=1))
    copied = [{**line, "forkedFrom": {"sessionId": MAIN, "messageUuid": line["uuid"]}} for line in main]
    later = called(5, (12, 64, 2100, 40), "more", tool_use("t3"), timestamp=next_day)
    write(project / f"{FORK}.jsonl", FORK, [*copied, *later])


def test_usage_is_what_ccusage_counts(engine: Engine, tmp_path: Path) -> None:
    write_tree(tmp_path)
    import_tree(engine, tmp_path)
    assert {
        (f"{row.day}", row.model): (
            row.input_tokens,
            row.output_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
        )
        for row in queries.usage(engine, by=("day", "model"))
    } == FROM_CCUSAGE
