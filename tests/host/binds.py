"""Finds every function that takes a sync bind, to test it with wrong arguments."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from boocode_sessions import adoption, jsonl, queries, retention, site, status, streaming
from boocode_sessions.agents import integrity

KEY = {"project_key": "p", "session_id": "s"}


def functions_of_a_bind(folder: Path) -> list[Callable[[Any], object]]:
    """Return every function of ours whose first parameter is an Engine or another bind, except migrations."""
    return [
        queries.sessions,
        queries.projects,
        queries.tools,
        queries.tool_calls,
        queries.usage,
        lambda bind: queries.conversation(bind, "s"),
        lambda bind: queries.search(bind, "rain"),
        lambda bind: queries.find_session(bind, "s"),
        lambda bind: queries.as_html(bind, "s"),
        status.schema_status,
        status.holdings,
        status.schemas_with_tables,
        lambda bind: retention.prune(bind, inactive_for=timedelta(1)),
        lambda bind: retention.hold(bind, KEY),
        lambda bind: retention.release(bind, KEY),
        lambda bind: retention.erase(bind, KEY),
        lambda bind: jsonl.export_tree(bind, folder / "out"),
        lambda bind: jsonl.import_tree(bind, folder),
        adoption.adopt,
        adoption.backfill,
        lambda bind: site.write_site(bind, folder / "site"),
        lambda bind: list(streaming.iterate(bind, KEY)),
        lambda bind: integrity.check_session(bind, "p", "s"),
    ]
