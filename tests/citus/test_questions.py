"""What is asked, kept and removed on a cluster, through whichever of its nodes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from boocode_sessions import ClaudeSessionRepository, queries, retention
from boocode_sessions.adoption import backfill
from boocode_sessions.engine import create_engine
from boocode_sessions.errors import MissingKeyError
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.privacy import Encryption, generate_key, reencrypt
from boocode_sessions.status import holdings
from boocode_sessions.streaming import iterate
from tests.citus.test_one_shard import noting
from tests.fixtures.seed import insert_as_the_seed_does
from tests.queries.lines import answer, entries, key, prompt, result, tool_use

pytestmark = pytest.mark.xdist_group("citus")

PROJECTS = [f"project-{n}" for n in range(6)]


def write(engine: Engine) -> None:
    """To six projects, which several servers have: a call of each project's own, one that all tell of, and a
    session that is a copy of the first project's."""
    repository = ClaudeSessionRepository(engine)
    for number, project in enumerate(PROJECTS):
        lines = entries(
            prompt(f"u{number}", f"needle {number}"),
            answer(f"a{number}", tool_use(f"t{number}"), call="shared", requestId="q"),
            result(f"r{number}", f"t{number}", seconds=2),
            answer(f"b{number}", "hay", call=f"own {number}", requestId="q"),
        )
        repository.append(key(f"s{number}", project), lines)
    copied: dict[str, Any] = {"forkedFrom": {"sessionId": "s0", "messageUuid": "b0"}}
    fork = entries(answer("copy", "hay", call="own 0", requestId="q", **copied))
    repository.append(key("fork", PROJECTS[-1]), fork)


def asked(bind: Any) -> tuple[Any, ...]:
    return (
        queries.usage(bind, by=("project", "session", "model", "day")),
        queries.usage(bind, by=(), project_key=PROJECTS[-1]),
        queries.tools(bind),
        queries.tools(bind, project_key=PROJECTS[2]),
        sorted((match.project_key, match.uuid or "") for match in queries.search(bind, "needle")),
        [match.uuid for match in queries.search(bind, "needle", project_key=PROJECTS[3])],
        queries.sessions(bind),
        sorted(queries.projects(bind)),
        queries.tool_calls(bind),
    )


def test_every_node_gives_the_answers_that_the_entries_give(coordinator: Engine, a_worker: str) -> None:
    write(coordinator)
    with coordinator.connect() as connection:
        recounted = asked(connection)
    assert sum(row.calls for row in recounted[0]) == 1 + len(PROJECTS)
    assert len(recounted[4]) == len(PROJECTS)
    worker = create_engine(a_worker)
    try:
        with ThreadPoolExecutor(2) as pool:  # both take the lines at once
            assert list(pool.map(asked, (worker, coordinator))) == [recounted, recounted]
        ClaudeSessionRepository(worker).delete(key("s0", PROJECTS[0]))
        assert [row.calls for row in queries.usage(worker, by=())] == [1 + len(PROJECTS)]  # the fork's is now
        assert len(queries.search(coordinator, "needle")) == len(PROJECTS) - 1
        with coordinator.connect() as connection:
            assert asked(connection) == asked(worker) == asked(coordinator)
    finally:
        worker.dispose()


def test_what_is_derived_is_beside_its_entries(coordinator: Engine) -> None:
    write(coordinator)
    backfill(coordinator)
    with coordinator.connect() as connection:
        for table in ("claude_session_calls", "claude_session_tool_uses", "claude_session_texts"):
            joined = text(
                f"SELECT count(*) FROM {table} AS taken JOIN claude_session_digests AS digest"
                " ON digest.project_key = taken.project_key AND digest.id = taken.digest_id"
            )
            count = connection.execute(joined).scalar_one()
            assert count == connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
    found = holdings(coordinator)
    assert (found.behind, found.nodes) != (None, None)
    assert found.behind == 0


def test_a_deletion_that_removes_words_is_one_task_each(coordinator: Engine) -> None:
    write(coordinator)
    queries.search(coordinator, "needle")
    with noting(coordinator, "claude_session_texts") as noted:
        ClaudeSessionRepository(coordinator).delete(key("s1", PROJECTS[1]))
    ((statement, parameters),) = noted
    with coordinator.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    assert '"Task Count": 1,' in str(plan).replace("'", '"')
    assert len(queries.search(coordinator, "needle")) == len(PROJECTS) - 1


def test_a_plain_store_becomes_an_encrypted_one(coordinator: Engine) -> None:
    write(coordinator)
    encryption = Encryption([generate_key("new")], reads_plain=True)
    plain = ClaudeSessionRepository(coordinator)
    before = [plain.load(key(f"s{number}", project)) for number, project in enumerate(PROJECTS)]
    done = reencrypt(coordinator, encryption, batch_rows=5)
    assert (done.entries, done.summaries) == (4 * len(PROJECTS) + 1, len(PROJECTS) + 1)
    sealed = ClaudeSessionRepository(coordinator, encryption=encryption)
    assert [sealed.load(key(f"s{number}", project)) for number, project in enumerate(PROJECTS)] == before
    with pytest.raises(MissingKeyError):
        plain.load(key("s0", PROJECTS[0]))
    assert reencrypt(coordinator, encryption).entries == 0


def test_sessions_are_kept_moved_and_removed(coordinator: Engine, tmp_path: Path) -> None:
    write(coordinator)
    insert_as_the_seed_does(coordinator, key("theirs", PROJECTS[4]), ['{"type": "user"}'] * 2)
    assert backfill(coordinator).placed == 2
    repository = ClaudeSessionRepository(coordinator)
    assert list(iterate(coordinator, key("s1", PROJECTS[1]))) == repository.load(key("s1", PROJECTS[1]))
    exported = export_tree(coordinator, tmp_path)
    assert exported.sessions == len(PROJECTS) + 2
    retention.hold(coordinator, key("s2", PROJECTS[2]))
    assert retention.erase(coordinator, key("s1", PROJECTS[1])) == 4
    gone = retention.prune(coordinator, inactive_for=timedelta(0), pause=0)
    assert {session.session_id for session in gone.sessions} == {"s0", "s3", "s4", "s5", "fork", "theirs"}
    assert [row.session_id for row in queries.sessions(coordinator)] == ["s2"]
    assert [row.calls for row in queries.usage(coordinator, by=())] == [2]
    retention.release(coordinator, key("s2", PROJECTS[2]))
    assert import_tree(coordinator, tmp_path).added == exported.entries - 4
    assert import_tree(coordinator, tmp_path).added == 0
    assert len(queries.search(coordinator, "needle")) == len(PROJECTS)
