"""Readers and writers do not wait for each other."""

from boocode_sessions import ClaudeSessionRepository, SessionKey
from tests.fixtures.databases import Database

KEY: SessionKey = {"project_key": "p", "session_id": "s"}


def test_a_reader_does_not_wait_for_a_writer_that_has_not_committed(database: Database) -> None:
    engine = database.engine()
    repository = ClaudeSessionRepository(engine)
    repository.append(KEY, [{"type": "user", "uuid": "1"}])
    with engine.connect() as writing, writing.begin():
        ClaudeSessionRepository(writing).append(KEY, [{"type": "user", "uuid": "2"}])
        assert repository.load(KEY) == [{"type": "user", "uuid": "1"}]
        assert len(repository.list_sessions("p")) == len(repository.list_session_summaries("p")) == 1
    assert repository.load(KEY) == [{"type": "user", "uuid": "1"}, {"type": "user", "uuid": "2"}]
    engine.dispose()
