"""How long the questions of `boocode_sessions.queries` take on a large PostgreSQL store.

    python benchmarks/ask.py --url postgresql://.../scratch --entries 1000000

Fills an empty, migrated database on the server's side (a session has 1,000 entries, in the shapes and about
the sizes of the agent's own; four in ten are lines of the assistant's, two or three an API call; the
sessions spread over 90 days and 20 projects), then prints the median of five runs of each question.
`--without-search-index` asks only what searches take where that index is not.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy
from sqlalchemy import Engine, select, text

from boocode_sessions import ClaudeSessionEntry as Entry
from boocode_sessions import migrations, queries
from boocode_sessions._core.codec import facts_of
from boocode_sessions.engine import normalized

PER_SESSION = 1000
DAYS = 90
END = datetime(2026, 11, 20, tzinfo=UTC)

WORDS = """
CREATE UNLOGGED TABLE bench_prose AS
SELECT n, (SELECT string_agg('w' || floor(20000 * power(random(), 3))::int
                             || CASE WHEN random() < 0.1 THEN '.' ELSE '' END, ' ')
           FROM generate_series(1, 20 + n % 80) WHERE n IS NOT NULL) AS prose
FROM generate_series(0, 4999) AS n
"""

FILL = """
INSERT INTO claude_session_entries (project_key, session_id, subpath, dedup_key, entry, created_at, facts)
SELECT '-home-me-project-' || s % 20, md5('session' || s)::uuid::text, '',
       CASE WHEN k = 9 THEN '~bench.' || i ELSE md5(s || '.' || i)::uuid::text END,
       CASE
         WHEN k = 9 THEN jsonb_build_object('type', 'last-prompt', 'lastPrompt', left(p.prose, 80))
         ELSE jsonb_build_object('uuid', md5(s || '.' || i)::uuid, 'sessionId', md5('session' || s)::uuid,
              'parentUuid', CASE WHEN i > 0 THEN md5(s || '.' || i - 1)::uuid END, 'isSidechain', false,
              'cwd', '/home/me/project', 'gitBranch', 'main', 'version', '2.1.330', 'userType', 'external',
              'timestamp', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
           || CASE
              WHEN k = 0 THEN jsonb_build_object('type', 'user',
                   'message', jsonb_build_object('role', 'user', 'content', p.prose))
              WHEN k IN (1, 2, 5, 6) THEN jsonb_build_object('type', 'assistant',
                   'requestRef', md5('r' || s || i)::uuid, 'apiBlockIndex', k % 5,
                   'message', jsonb_build_object('id', 'msg_' || s || '_' || i / 5, 'type', 'message',
                       'role', 'assistant', 'model', 'claude-opus-5-' || s % 3, 'stop_reason', 'tool_use',
                       'stop_sequence', null, 'usage', jsonb_build_object(
                           'input_tokens', 10, 'output_tokens', 20 * (k % 5), 'service_tier', 'standard',
                           'cache_read_input_tokens', 1000 + i, 'cache_creation_input_tokens', 300,
                           'cache_creation', jsonb_build_object('ephemeral_1h_input_tokens', 100,
                                                                'ephemeral_5m_input_tokens', 200),
                           'server_tool_use', jsonb_build_object('web_search_requests', 0)),
                       'content', jsonb_build_array(CASE WHEN k IN (1, 5)
                           THEN jsonb_build_object('type', 'text', 'text', p.prose)
                           ELSE jsonb_build_object('type', 'tool_use', 'id', 'toolu_' || s || '_' || i / 5,
                                'name', (ARRAY['Bash', 'Read', 'Edit', 'Grep'])[1 + i / 5 % 4],
                                'input', jsonb_build_object('command', left(p.prose, 200))) END)))
              WHEN k IN (3, 7) THEN jsonb_build_object('type', 'user',
                   'toolUseResult', jsonb_build_object('stdout', p.prose || q.prose || r.prose, 'stderr', ''),
                   'message', jsonb_build_object('role', 'user', 'content', jsonb_build_array(
                       jsonb_build_object('type', 'tool_result', 'tool_use_id', 'toolu_' || s || '_' || i / 5,
                                          'is_error', i % 50 = 3, 'content', p.prose || q.prose || r.prose))))
              ELSE jsonb_build_object('type', 'attachment',
                   'attachment', jsonb_build_object('type', 'skill_listing',
                                                    'content',
                                                    repeat(p.prose || q.prose || r.prose, 1 + i % 5)))
              END
       END, at,
       CASE
         WHEN k IN (1, 2, 5, 6) THEN jsonb_build_array(said, 'msg_' || s || '_' || i / 5,
              'claude-opus-5-' || s % 3, 10, 20 * (k % 5), 1000 + i, 300, 100)
           || CASE WHEN k IN (2, 6) THEN jsonb_build_array('toolu_' || s || '_' || i / 5,
                   (ARRAY['Bash', 'Read', 'Edit', 'Grep'])[1 + i / 5 % 4]) ELSE '[]' END
         WHEN k IN (3, 7) THEN jsonb_build_array(said, null, null, null, null, null, null, null,
              'toolu_' || s || '_' || i / 5, null, i % 50 = 3)
         WHEN k <> 9 THEN jsonb_build_array(said)
         ELSE '[]'
       END
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS s,
     generate_series(0, 999) AS i,
     LATERAL (SELECT i % 10 AS k, CAST(:start AS timestamptz) + s * CAST(:apart AS interval)
                                  + i * interval '20 seconds' AS at) AS line,
     LATERAL (SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS said) AS spelled,
     bench_prose AS p, bench_prose AS q, bench_prose AS r
WHERE p.n = abs(hashint8(s * 1000 + i)) % 5000
  AND q.n = abs(hashint8(s * 1000 + i + 7)) % 5000
  AND r.n = abs(hashint8(s * 1000 + i + 9)) % 5000
ORDER BY s, i
"""

SUMMARIES = """
INSERT INTO claude_session_summaries (project_key, session_id, turn, folded_id, data, updated_at)
SELECT project_key, session_id, 1, max(id),
       '{"is_sidechain"\\:false,"first_prompt":"do it","first_prompt_locked"\\:true,"last_prompt":"and on"}',
       max(created_at)
FROM claude_session_entries GROUP BY project_key, session_id
"""


def fill(engine: Engine, entries: int) -> None:
    sessions = entries // PER_SESSION
    apart = timedelta(days=DAYS) / sessions
    began = time.perf_counter()
    with engine.begin() as db:
        db.execute(text("SET LOCAL statement_timeout = 0"))
        db.execute(text(WORDS))
        db.execute(text("ANALYZE bench_prose"))
    for first in range(0, sessions, 50):
        with engine.begin() as db:
            db.execute(text("SET LOCAL statement_timeout = 0"))
            last = min(first + 50, sessions) - 1
            db.execute(
                text(FILL),
                {"first": first, "last": last, "start": END - timedelta(days=DAYS), "apart": apart},
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("SET statement_timeout = 0"))
        db.execute(text(SUMMARIES))
        db.execute(text("DROP TABLE bench_prose"))
        db.execute(text("VACUUM ANALYZE claude_session_entries"))
        db.execute(text("VACUUM ANALYZE claude_session_summaries"))
    print(f"filled with {sessions * PER_SESSION:,} entries in {time.perf_counter() - began:.0f} s")


def check(engine: Engine) -> None:
    """Whether the facts that were filled in are those that an append stores."""
    with engine.connect() as db:
        rows = db.execute(select(Entry.entry, Entry.facts).order_by(Entry.id).limit(PER_SESSION)).all()
    wrong = [entry["type"] for entry, facts in rows if json.loads(facts_of(entry) or "null") != facts]
    assert not wrong, set(wrong)


def median_ms(question: Callable[[], object], runs: int = 5) -> float:
    question()
    times: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        question()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def search_without_index(engine: Engine, project_key: str, session_id: str) -> None:
    """In a transaction that is rolled back: it keeps everybody else from the table meanwhile."""
    with engine.connect() as db:
        db.execute(text("DROP INDEX claude_session_entries_search_idx"))
        questions: dict[str, Callable[[], object]] = {
            "a word in a third of messages": lambda: queries.search(db, "w0"),
            "a word in 0.05% of messages": lambda: queries.search(db, "w15000"),
            "found nowhere": lambda: queries.search(db, "nowhere"),
            "found nowhere, one project": lambda: queries.search(db, "nowhere", project_key=project_key),
            "found nowhere, one session": lambda: queries.search(db, "nowhere", session_id=session_id),
        }
        for name, question in questions.items():
            print(f"without the index: {name:33} {median_ms(question, runs=3):8.0f}", flush=True)
        db.rollback()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="an empty PostgreSQL database")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--filled", action="store_true", help="the database was filled by an earlier run")
    parser.add_argument("--without-search-index", action="store_true", help="only searches, without it")
    options = parser.parse_args()
    # Without our time-outs: what takes longer is to be seen, too.
    engine = sqlalchemy.create_engine(normalized(options.url))
    if not options.filled:
        migrations.upgrade(engine)
        fill(engine, options.entries)
        migrations.create_search_index(engine)
    with engine.connect() as db:
        sizes = "SELECT pg_size_pretty(pg_table_size(t)), pg_size_pretty(pg_indexes_size(t))"
        sizes += " FROM to_regclass(:t) t"
        table, indexes = db.execute(text(sizes), {"t": "claude_session_entries"}).one()
        session_id, project_key = db.execute(
            text("SELECT session_id, project_key FROM claude_session_summaries ORDER BY 1 LIMIT 1")
        ).one()
    if options.without_search_index:
        search_without_index(engine, project_key, session_id)
        return
    print(f"table {table}, indexes {indexes}; milliseconds, median of 5 warm runs")
    day, week, month = (END - timedelta(days=n) for n in (1, 7, 30))
    check(engine)
    questions: dict[str, Callable[[], object]] = {
        "sessions, newest 50": lambda: queries.sessions(engine),
        "sessions of one project, all 50": lambda: queries.sessions(
            engine, project_key=project_key, limit=None
        ),
        "sessions, all": lambda: queries.sessions(engine, limit=None),
        "sessions, newest 10": lambda: queries.sessions(engine, limit=10),
        "conversation, one session": lambda: queries.conversation(engine, session_id),
        "search, a word in 0.05% of messages": lambda: queries.search(engine, "w15000"),
        "search, two words": lambda: queries.search(engine, "w700 w900"),
        "search, a word in 7% of messages": lambda: queries.search(engine, "w7"),
        "search, a word in a third of messages": lambda: queries.search(engine, "w0"),
        "search, a word in a third, one project": lambda: queries.search(
            engine, "w0", project_key=project_key
        ),
        "search, a word in a third, last 7 days": lambda: queries.search(engine, "w0", since=week),
        "search, a word in a third, until then": lambda: queries.search(engine, "w0", until=week),
        "search, a phrase, one project": lambda: queries.search(
            engine, '"w700 w900"', project_key=project_key
        ),
        "search, one session": lambda: queries.search(engine, "w0", session_id=session_id),
        "search, found nowhere": lambda: queries.search(engine, "nowhere"),
        "usage by day and model, last day": lambda: queries.usage(engine, since=day),
        "usage by day and model, last 7 days": lambda: queries.usage(engine, since=week),
        "usage by day and model, last 30 days": lambda: queries.usage(engine, since=month),
        "usage by session, last 7 days": lambda: queries.usage(engine, by="session", since=week),
        "usage of one project, all time": lambda: queries.usage(engine, project_key=project_key),
        "usage of one session": lambda: queries.usage(engine, session_id=session_id),
        "usage by day and model, all time": lambda: queries.usage(engine),
        "tools, last day": lambda: queries.tools(engine, since=day),
        "tools, last 7 days": lambda: queries.tools(engine, since=week),
        "tools of one session": lambda: queries.tools(engine, session_id=session_id),
        "tools, all time": lambda: queries.tools(engine),
    }
    for name, question in questions.items():
        print(f"{name:42} {median_ms(question):8.0f}", flush=True)


if __name__ == "__main__":
    main()
