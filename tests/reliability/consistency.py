"""Checks that a session's entries, listing and summary agree."""

from boocode_sessions import ClaudeSessionRepository, SessionKey, SessionSummaryEntry
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import transcript_of
from tests.reliability.subjects import Subject


def assert_consistent(repository: ClaudeSessionRepository, key: SessionKey) -> None:
    """Assert that a loaded session is listed, and that its summary is its fold."""
    session_id = key["session_id"]
    stored = repository.load(key)
    listed = {s["session_id"]: s["mtime"] for s in repository.list_sessions(key["project_key"])}
    summaries = {s["session_id"]: s for s in repository.list_session_summaries(key["project_key"])}
    if stored is None:
        assert session_id not in listed
        assert session_id not in summaries
        return
    assert session_id in listed, "entries that no listing shows"
    assert summaries[session_id]["data"] == fold(None, transcript_of(key), stored)
    assert summaries[session_id]["mtime"] == listed[session_id]


async def summary_of(subject: Subject, key: SessionKey) -> SessionSummaryEntry:
    """Return a session's only summary."""
    summaries = await subject.list_session_summaries(key["project_key"])
    (summary,) = [summary for summary in summaries if summary["session_id"] == key["session_id"]]
    return summary


async def assert_true_summary(subject: Subject, key: SessionKey) -> None:
    """Assert that the summary is the fold of the loaded entries, with the listing's mtime."""
    summary = await summary_of(subject, key)
    (listed,) = [
        s for s in await subject.list_sessions(key["project_key"]) if s["session_id"] == key["session_id"]
    ]
    assert summary["data"] == fold(None, transcript_of(key), await subject.load(key) or [])
    assert summary["mtime"] == listed["mtime"]
