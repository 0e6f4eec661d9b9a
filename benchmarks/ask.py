"""How long the questions of `boocode_sessions.queries` take over a large store, on both databases.

    python -m benchmarks.ask --entries 1000000

Imports a tree of transcripts into an empty store on the wheel's PostgreSQL and into a SQLite file: sessions
of 1,000 entries in the shapes and about the sizes of the agent's own; four in ten are lines of answers, two
an API call; the sessions spread over 90 days and 20 projects. Prints how quick the import was, how long the
first questions take, which take what they need from all entries, the median of five whole calls of each,
that of an append of 500 before anybody has asked and after, that of the command `list` from start to end,
what the store takes on disk beside the lines' own bytes, and how long ccusage takes. `--url` measures one
database, which is filled unless it is.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, func, select, text

from benchmarks.server import CACHE, Server
from boocode_sessions import ClaudeSession, ClaudeSessionRepository, SessionKey, migrations, queries
from boocode_sessions import ClaudeSessionEntry as Entry
from boocode_sessions.engine import create_engine, normalized
from boocode_sessions.jsonl import import_tree
from boocode_sessions.sdk import SQLAlchemySessionStore

PER_SESSION = 1000
DAYS = 90
END = datetime(2026, 11, 20, tzinfo=UTC)
TOOLS = ("Bash", "Read", "Edit", "Grep")

Answers = Mapping[str, float]


class Agent:
    """Writes sessions: the same number always gives the same lines."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        # The frequencies of words are like those of a language: w0 is in a third of all messages.
        words = [f"w{int(20_000 * self._random.random() ** 3)}" for _ in range(400_000)]
        self._prose = [" ".join(words[i * 70 : i * 70 + 20 + i % 80]) for i in range(5000)]

    def session(self, number: int, began: datetime) -> Iterator[dict[str, Any]]:
        session_id, parent = str(uuid.UUID(int=number)), None
        for i in range(PER_SESSION):
            one, two, three = (self._random.choice(self._prose) for _ in range(3))
            if i % 10 == 9:
                yield {"type": "last-prompt", "lastPrompt": one[:80], "sessionId": session_id}
                continue
            line: dict[str, Any] = {
                "uuid": str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                "parentUuid": parent,
                "sessionId": session_id,
                "isSidechain": False,
                "cwd": "/home/me/project",
                "gitBranch": "main",
                "version": "2.1.330",
                "userType": "external",
                "timestamp": f"{began + timedelta(seconds=20 * i):%Y-%m-%dT%H:%M:%S}.000Z",
            }
            parent = line["uuid"]
            yield line | self._said(number, i, one, two + three)

    def _said(self, number: int, i: int, short: str, long: str) -> dict[str, Any]:
        call = hashlib.sha256(f"{number}.{i // 5}".encode()).hexdigest()[:22]
        match i % 10:
            case 0:
                return {"type": "user", "message": {"role": "user", "content": short}}
            case 1 | 5:
                return _answer(number, i, call, {"type": "text", "text": short})
            case 2 | 6:
                block = {"type": "tool_use", "id": f"toolu_01{call}", "name": TOOLS[i // 5 % 4]}
                return _answer(number, i, call, block | {"input": {"command": short[:200]}})
            case 3 | 7:
                block = {"type": "tool_result", "tool_use_id": f"toolu_01{call}", "content": long}
                message = {"role": "user", "content": [block | {"is_error": i % 50 == 3}]}
                return {"type": "user", "message": message, "toolUseResult": {"stdout": long, "stderr": ""}}
            case _:
                content = long * (7 + i % 5)
                return {"type": "attachment", "attachment": {"type": "skill_listing", "content": content}}


def _answer(number: int, i: int, call: str, block: dict[str, Any]) -> dict[str, Any]:
    usage = {
        "input_tokens": 10,
        "output_tokens": 20 * (i // 5 % 5),
        "cache_read_input_tokens": 1000 + i // 5,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_1h_input_tokens": 100, "ephemeral_5m_input_tokens": 200},
        "service_tier": "standard",
    }
    message = {
        "id": f"msg_01{call}",
        "type": "message",
        "role": "assistant",
        "model": f"claude-opus-5-{number % 3}",
        "content": [block],
        "stop_reason": "tool_use",
        "usage": usage,
    }
    return {"type": "assistant", "requestId": f"req_01{call}", "message": message}


def write_tree(tree: Path, entries: int) -> int:
    """Write the sessions as the agent keeps them. Returns the bytes."""
    sessions, agent, size = entries // PER_SESSION, Agent(), 0
    for number in range(sessions):
        began = END - timedelta(days=DAYS) * (1 - number / sessions)
        path = tree / "projects" / f"-home-me-project-{number % 20}" / f"{uuid.UUID(int=number)}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(line, separators=(",", ":")) for line in agent.session(number, began)]
        size += path.write_text("\n".join(lines) + "\n")
    print(f"{sessions * PER_SESSION:,} entries in {sessions:,} sessions, {size / 1e6:,.0f} MB", flush=True)
    return size


def fill(engine: Engine, tree: Path) -> Answers:
    """Import the sessions. Megabytes a second."""
    SQLAlchemySessionStore(engine)  # imports the SDK, whose fold the imported sessions then keep
    began = time.perf_counter()
    imported = import_tree(engine, tree)
    seconds = time.perf_counter() - began
    vacuum(engine)
    return {"import, MB/s": imported.bytes / 1e6 / seconds}


def print_ccusage(tree: Path) -> None:
    """How long ccusage takes for its table of days, from start to end, and its totals, where npm has it."""
    if (npx := shutil.which("npx")) is None:
        print("ccusage 17: there is no npx")
        return
    command = [npx, "--yes", "ccusage@17"]
    environment = {**os.environ, "CLAUDE_CONFIG_DIR": str(tree)}
    if subprocess.run([*command, "--version"], env=environment, capture_output=True, check=False).returncode:
        print("ccusage 17: npm does not answer")
        return
    began = time.perf_counter()
    daily = [*command, "daily", "--json", "--offline", "--timezone", "UTC"]
    answer = subprocess.run(daily, env=environment, capture_output=True, check=True).stdout
    seconds, totals = time.perf_counter() - began, json.loads(answer)["totals"]
    print(f"ccusage 17 daily: {seconds:.1f} s; {_totals(totals[name] for name in CCUSAGE)}", flush=True)


CCUSAGE = ("inputTokens", "outputTokens", "cacheReadTokens", "cacheCreationTokens")


def _totals(tokens: Iterable[int]) -> str:
    kinds = ("in", "out", "read from the cache", "written to it")
    return ", ".join(f"{count:,} {kind}" for count, kind in zip(tokens, kinds, strict=True))


def print_usage(engine: Engine) -> None:
    """The same totals by `usage`."""
    (row,) = queries.usage(engine, by=())
    tokens = (row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens)
    print(f"{engine.dialect.name:10} usage: {_totals(tokens)}", flush=True)


def vacuum(engine: Engine) -> None:
    """As autovacuum would at some time or other."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE"))


def median_ms(question: Callable[[], object], runs: int = 5) -> float:
    question()
    times: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        question()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def sizes(engine: Engine) -> str:
    """What the lines have, and what they and each index take."""
    with engine.connect() as db:
        size = int(db.scalar(select(func.sum(ClaudeSession.bytes))) or 1)
        if engine.dialect.name == "sqlite":
            found = db.execute(text("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"))
        else:
            query = (
                "SELECT relname, pg_table_size(relid) FROM pg_stat_user_tables UNION ALL "
                "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes ORDER BY 2 DESC"
            )
            found = db.execute(text(query))
        parts = [(name, taken) for name, taken in found if name.startswith("claude_session_")]
    shares = ", ".join(f"{name.removeprefix('claude_session_')} {taken / size:.1%}" for name, taken in parts)
    return f"{size / 1e6:,.0f} MB of JSON; of it take: {shares}"


def questions(engine: Engine) -> dict[str, Callable[[], object]]:
    """What is asked."""
    with engine.connect() as db:
        session_id, project_key = db.execute(
            select(ClaudeSession.session_id, ClaudeSession.project_key).order_by(ClaudeSession.session_id)
        ).first() or ("", "")
    day, week, month = (END - timedelta(days=n) for n in (1, 7, 30))
    return {
        "sessions, newest 50": lambda: queries.sessions(engine),
        "sessions, all": lambda: queries.sessions(engine, limit=None),
        "conversation, one session": lambda: queries.conversation(engine, session_id),
        "usage, 1 day": lambda: queries.usage(engine, since=day),
        "usage, 7 days": lambda: queries.usage(engine, since=week),
        "usage, 30 days": lambda: queries.usage(engine, since=month),
        "usage, all time": lambda: queries.usage(engine),
        "usage, all time, by session": lambda: queries.usage(engine, by="session"),
        "usage, one project": lambda: queries.usage(engine, project_key=project_key),
        "usage, one session": lambda: queries.usage(engine, session_id=session_id),
        "tools, 7 days": lambda: queries.tools(engine, since=week),
        "tools, all time": lambda: queries.tools(engine),
        "tools, one session": lambda: queries.tools(engine, session_id=session_id),
        "search, a word in 0.05% of messages": lambda: queries.search(engine, "w15000"),
        "search, a word in a third of messages": lambda: queries.search(engine, "w0"),
        "search, a phrase of two frequent words": lambda: queries.search(engine, '"w0 w1"'),
        "search, a phrase found nowhere": lambda: queries.search(engine, '"w1 w0 w2 w1"'),
        "search, a frequent word in a project": lambda: queries.search(engine, "w0", project_key=project_key),
        "search, found nowhere": lambda: queries.search(engine, "nowhere"),
        "list, the command": lambda: _list(engine),
    }


def _list(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "boocode_sessions", "--url", url, "list", "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def first(engine: Engine) -> Answers:
    """How long the first questions take over entries of which nobody has asked anything yet."""
    answers: dict[str, float] = {}
    for name, question in (("usage", queries.usage), ("search", partial(queries.search, words="w15000"))):
        began = time.perf_counter()
        question(engine)
        answers[f"the first {name}"] = (time.perf_counter() - began) * 1000
    vacuum(engine)
    return answers


def appending(engine: Engine) -> float:
    """How long an append of 500 takes."""
    repository, agent = ClaudeSessionRepository(engine), Agent()
    key: SessionKey = {"project_key": "-home-me-append", "session_id": str(uuid.uuid4())}

    def append() -> None:
        lines = list(islice(agent.session(uuid.UUID(key["session_id"]).int, END), 500))
        began = time.perf_counter()
        repository.append(key, lines)
        took.append(time.perf_counter() - began)

    took: list[float] = []
    for _ in range(6):
        append()
    repository.delete(key)
    return statistics.median(took[1:]) * 1000


def ask(url: str, tree: Path, only: Sequence[str]) -> Answers:
    """Fill a store, if it is empty, and ask. Milliseconds by question."""
    answers: dict[str, float] = {}
    migrations.upgrade(url)
    filling = create_engine(url)
    with filling.connect() as db:
        filled = db.execute(select(Entry.id).limit(1)).first() is not None
    if not filled:
        answers |= fill(filling, tree)
    filling.dispose()
    # Without our time-outs: what takes longer is to be seen, too.
    engine = sqlalchemy.create_engine(normalized(url))
    if not only:
        answers["an append of 500, before any question"] = appending(engine)
        answers |= first(engine)
        answers["an append of 500, after questions"] = appending(engine)
    for name, took in answers.items():
        print(f"{engine.dialect.name:10} {name:42} {took:8.0f}", flush=True)
    print(f"{engine.dialect.name}: {sizes(engine)}", flush=True)
    print_usage(engine)
    for name, question in questions(engine).items():
        if not only or any(name.startswith(one) for one in only):
            answers[name] = median_ms(question)
            print(f"{engine.dialect.name:10} {name:42} {answers[name]:8.0f}", flush=True)
    engine.dispose()
    return answers


def print_both(tree: Path, only: Sequence[str]) -> None:
    """Ask on both databases, and print a table."""
    server = Server()
    try:
        file = CACHE / "ask.db"
        for old in CACHE.glob("ask.db*"):
            old.unlink()
        urls = [server.fresh("ask").url("postgresql"), f"sqlite:///{file}"]
        both = [ask(url, tree, only) for url in urls]
    finally:
        server.stop()
    print(f"\nSQLite {sqlite3.sqlite_version}\n\n| question | PostgreSQL | SQLite |\n| --- | ---: | ---: |")
    for name in both[0]:
        unit = "" if name.endswith("MB/s") else " ms"
        print(f"| {name} | {both[0][name]:,.0f}{unit} | {both[1][name]:,.0f}{unit} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--url", help="only this database; empty, or filled by an earlier run")
    parser.add_argument(
        "--only", action="append", default=[], help="questions that begin so; may be repeated"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="boocode-ask-") as folder:
        tree = Path(folder)
        write_tree(tree, options.entries)
        print_ccusage(tree)
        if options.url:
            ask(options.url, tree, options.only)
        else:
            print_both(tree, options.only)


if __name__ == "__main__":
    main()
