"""How long `boocode_sessions.queries` take over a large store, on both databases.

    python -m benchmarks.ask --entries 1000000

Imports a tree of transcripts into an empty store on the wheel's PostgreSQL and into a SQLite file. Sessions
have 1,000 entries with the agent's shapes and about its sizes: four in ten are lines of answers, two lines to
an API call. They spread over 90 days and 20 projects.

Prints the speed of the import, and how long it takes to fill the derived tables, as the command `import`
does at its end. Prints medians of five whole calls of each query, of an append of 500 before the first query
and after, and of the command `list` as a process. Also prints the size on disk next to the lines' own bytes,
and how long ccusage takes.

Each time is wall-clock time, with processor time in brackets, including the server's. Processor time depends
less on other work, but still grows by half if another processor shares the core. The load average shows how
busy the machine was. `--url` measures one database, and fills it first if it is empty.
"""

import argparse
import gc
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psutil
import sqlalchemy
from sqlalchemy import Engine, func, select, text

from benchmarks.ccusage import print_ccusage, print_usage
from benchmarks.corpus import END, Agent, write_tree
from benchmarks.server import CACHE, Server
from boocode_sessions import ClaudeSession, ClaudeSessionRepository, SessionKey, migrations, queries
from boocode_sessions import ClaudeSessionEntry as Entry
from boocode_sessions.engine import create_engine, normalized
from boocode_sessions.jsonl import import_tree
from boocode_sessions.sdk import SQLAlchemySessionStore


class Took(NamedTuple):
    """Milliseconds, or megabytes a second: in wall-clock time and in processor time."""

    clock: float
    processors: float
    unit: str = "ms"

    def __str__(self) -> str:
        digits = 1 if self.clock < 10 else 0
        return f"{self.clock:,.{digits}f} ({self.processors:,.{digits}f}) {self.unit}"


Answers = Mapping[str, Took]


class Stopwatch:
    """Measures wall-clock time, and processor time of this program, its children and the server."""

    def __init__(self, engine: Engine) -> None:
        self._server: psutil.Process | None = None
        if engine.dialect.name == "postgresql":
            with engine.connect() as db:
                folder = Path(str(db.scalar(text("SHOW data_directory"))))
            self._server = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))

    def time(self, work: Callable[[], object]) -> Took:
        clock, processors = time.perf_counter(), self._processors()
        work()
        return Took((time.perf_counter() - clock) * 1000, (self._processors() - processors) * 1000)

    def median(self, work: Callable[[], object], runs: int = 5) -> Took:
        work()
        times = [self.time(work) for _ in range(runs)]
        return Took(*(statistics.median(one) for one in zip(*(took[:2] for took in times), strict=True)))

    def _processors(self) -> float:
        used = sum(os.times()[:4])
        if self._server is not None:
            ended = self._server.cpu_times()
            used += sum(ended[:4])
            for process in self._server.children():
                with suppress(psutil.NoSuchProcess):  # then it is among those that have ended
                    used += sum(process.cpu_times()[:2])
        return used


def fill(engine: Engine, tree: Path, stopwatch: Stopwatch) -> Answers:
    """Import the sessions. Return megabytes a second."""
    SQLAlchemySessionStore(engine)  # imports the SDK, whose fold the imported sessions then keep
    usual = gc.get_threshold()
    gc.set_threshold(100_000)  # as the command `import` sets it
    took = stopwatch.time(lambda: import_tree(engine, tree))
    gc.set_threshold(*usual)
    with engine.connect() as db:
        size = int(db.scalar(select(func.sum(ClaudeSession.bytes))) or 1) / 1000
    vacuum(engine)
    return {"import": Took(size / took.clock, size / took.processors, "MB/s")}


def vacuum(engine: Engine) -> None:
    """Vacuum, as autovacuum would sooner or later. SQLite has no autovacuum."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.execute(text("VACUUM ANALYZE"))


def sizes(engine: Engine) -> str:
    """Describe the bytes of the lines, and of each table and index."""
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
    """Return the queries to measure, by name."""
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
    command = [sys.executable, "-m", "boocode_sessions", "list", "--json", "--url", url]
    # With cached bytecode, as in an installation.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def first(engine: Engine, stopwatch: Stopwatch) -> Answers:
    """Measure `prepare` over entries that no query has read yet, and then the first queries."""
    answers = {"preparing usage and search": stopwatch.time(lambda: queries.prepare(engine))}
    for name, question in (("usage", queries.usage), ("search", partial(queries.search, words="w15000"))):
        answers[f"the first {name} then"] = stopwatch.time(partial(question, engine))
    vacuum(engine)
    return answers


def appending(engine: Engine, stopwatch: Stopwatch) -> Took:
    """Measure an append of 500 entries."""
    repository, agent = ClaudeSessionRepository(engine), Agent()
    key: SessionKey = {"project_key": "-home-me-append", "session_id": str(uuid.uuid4())}
    took: list[Took] = []
    for _ in range(6):
        lines = list(islice(agent.session(uuid.UUID(key["session_id"]).int, END), 500))
        took.append(stopwatch.time(partial(repository.append, key, lines)))
    repository.delete(key)
    return sorted(took[1:])[2]


def ask(url: str, tree: Path, only: Sequence[str]) -> Answers:
    """Fill a store, if it is empty, and measure the queries."""
    answers: dict[str, Took] = {}
    migrations.upgrade(url)
    filling = create_engine(url)
    with filling.connect() as db:
        filled = db.execute(select(Entry.id).limit(1)).first() is not None
    if not filled:
        answers |= fill(filling, tree, Stopwatch(filling))
    filling.dispose()
    # Without our timeouts, so that longer calls show too.
    engine = sqlalchemy.create_engine(normalized(url))
    stopwatch = Stopwatch(engine)
    if not only:
        answers["an append of 500, before any question"] = appending(engine, stopwatch)
        answers |= first(engine, stopwatch)
        answers["an append of 500, after questions"] = appending(engine, stopwatch)
    for name, took in answers.items():
        print(f"{engine.dialect.name:10} {name:42} {took}", flush=True)
    print(f"{engine.dialect.name}: {sizes(engine)}; load average {os.getloadavg()[2]:.1f}", flush=True)
    print_usage(engine)
    for name, question in questions(engine).items():
        if not only or any(name.startswith(one) for one in only):
            answers[name] = stopwatch.median(question)
            print(f"{engine.dialect.name:10} {name:42} {answers[name]}", flush=True)
    engine.dispose()
    return answers


def print_both(tree: Path, only: Sequence[str]) -> None:
    """Measure both databases, and print a table."""
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
        print(f"| {name} | {both[0][name]} | {both[1][name]} |")


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
        if options.url:
            ask(options.url, tree, options.only)
        else:
            print_both(tree, options.only)
        print_ccusage(tree)


if __name__ == "__main__":
    main()
