"""Renders a session as an HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, NamedTuple

from boocode_sessions import pages
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.attributes import string_at
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import MAIN, Session, Transcript
from boocode_sessions._core.operations import list_subkeys, load
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.queries.chain import Line, main_conversation, subagent_conversation
from boocode_sessions.queries.finding import SessionRef, only_session


class _Stored(NamedTuple):
    ref: SessionRef
    main: list[dict[str, Any]]
    subagents: dict[str, list[dict[str, Any]]]

    def redacted(self, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> _Stored:
        def of(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [dict(redact(line)) for line in lines]

        return _Stored(self.ref, of(self.main), {key: of(lines) for key, lines in self.subagents.items()})


@checked
def as_html(
    bind: Bind,
    session_id: str,
    *,
    project_key: str | None = None,
    subpath: str | None = None,
    everything: bool = False,
    index: str | None = None,
    tz: tzinfo | None = UTC,
    schema: str | None = None,
    encryption: Cipher | None = None,
    redact: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> str:
    """Render a session and its subagents as one HTML document, which has no scripts and makes no requests.

    Each entry has a permanent anchor, its uuid.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        session_id: The session's id, or its beginning.
        project_key: Look for the session only in this project.
        subpath: Show only this subagent's transcript.
        everything: Show every entry, including those that a resume would not see and those that are no
            messages.
        index: The address of a page that lists the sessions, to link to.
        tz: The time zone that times are shown in; None for the local one.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.
        redact: Makes what is shown from each entry, such as `Redactor().entry`.

    Raises:
        UnknownSessionError: No session has such an id.
        AmbiguousSessionError: Several sessions have such an id.
        MissingExtraError: The libraries of the extra `html` are not installed.
    """
    render = pages.session_page  # before anything is read

    def operation(connection: StoreConnection) -> _Stored:
        ref = only_session(connection, session_id, project_key)
        session = Session(ref.project_key, ref.session_id)
        subkeys = list_subkeys(connection, session) if subpath is None else []
        return _Stored(
            ref,
            _lines(connection, session, subpath or MAIN),
            {subkey: _lines(connection, session, subkey) for subkey in subkeys},
        )

    stored = UnitOfWork(bind, schema, encryption).read(f"read session {session_id!r}", operation)
    if redact is not None:
        stored = stored.redacted(redact)

    def shown(lines: list[dict[str, Any]], *, of_subagent: bool) -> Sequence[Line]:
        if everything:
            return lines
        return subagent_conversation(lines) if of_subagent else main_conversation(lines)

    main = shown(stored.main, of_subagent=subpath is not None)
    return render(
        main,
        {subkey: shown(lines, of_subagent=True) for subkey, lines in stored.subagents.items()},
        session_id=stored.ref.session_id,
        project_key=stored.ref.project_key,
        title=pages.title_of(stored.main),
        note=_left_out(stored.main, main),
        index=index,
        tz=tz,
    )


def _lines(connection: StoreConnection, session: Session, subpath: str) -> list[dict[str, Any]]:
    return load(connection, Transcript(*session, subpath)) or []


def _left_out(lines: Sequence[Line], shown: Sequence[Line]) -> str | None:
    """Return a note of how many messages are not on the branch that is shown."""
    uuids = {string_at(line, "uuid") for line in shown}
    left = sum(
        string_at(line, "type") in {"user", "assistant"}
        and not (line.get("isMeta") or line.get("isSidechain"))
        and string_at(line, "uuid") not in uuids
        for line in lines
    )
    if not left:
        return None
    messages = "1 message is" if left == 1 else f"{left:,} messages are"
    reasons = "on another branch, cut off by a missing line, replaced by a compaction, or an agent team's"
    return f"{messages} not shown: {reasons}."
