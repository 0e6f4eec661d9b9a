"""Reads the conversation of a session as a resume would see it."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from boocode_sessions import pages
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.attributes import as_message, string_at, text_of, tools_of
from boocode_sessions._core.codec import Cipher, said_at
from boocode_sessions._core.connection import StoreConnection
from boocode_sessions._core.keys import MAIN, Transcript
from boocode_sessions._core.operations import load
from boocode_sessions._core.unit_of_work import Bind, UnitOfWork
from boocode_sessions.errors import MissingExtraError
from boocode_sessions.queries.chain import main_conversation, subagent_conversation
from boocode_sessions.queries.finding import SessionRef, only_session
from boocode_sessions.queries.rows import Rows


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    position: int
    """The message's place in the conversation, from 0."""
    uuid: str
    """Empty for a queued prompt without a uuid."""
    type: str
    """`user` or `assistant`; `attachment` for a queued prompt."""
    role: str | None
    model: str | None
    timestamp: datetime | None
    text: str | None
    """The text, without tool calls, tool results, thinking and images."""
    tool_names: list[str]
    """The tools that the message calls."""
    entry: dict[str, Any]
    """The whole line, exactly as stored. It may have lone surrogates, which UTF-8 can't encode."""


class Conversation(Rows[Message]):
    """The messages of a conversation. Jupyter shows them as a page if the extra `html` is installed."""

    hidden = frozenset({"entry", "role"})

    def __init__(self, ref: SessionRef, rows: Iterable[Message] = ()) -> None:
        super().__init__(Message, rows)
        self.ref = ref

    def _repr_html_(self) -> str:
        try:
            render = pages.session_page
        except MissingExtraError:
            return super()._repr_html_()
        ref = self.ref
        lines = [message.entry for message in self]
        page = render(lines, {}, session_id=ref.session_id, project_key=ref.project_key)
        # The frame keeps the page's styles to itself, and nothing in it may run.
        return (
            f'<iframe sandbox="" srcdoc="{html.escape(page)}" title="conversation" '
            'style="width:100%;height:36rem;border:1px solid #8884"></iframe>'
        )


@checked
def conversation(
    bind: Bind,
    session_id: str,
    *,
    project_key: str | None = None,
    subpath: str | None = None,
    queued: bool = False,
    schema: str | None = None,
    encryption: Cipher | None = None,
) -> Conversation:
    """Return the messages that a resume would see, oldest first.

    These are the messages of the branch that was written last, without those that a compaction has replaced.
    The rules are the SDK's own.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        session_id: The session's id, or its beginning.
        project_key: Look for the session only in this project.
        subpath: Return this subagent's messages, not the main agent's. An unknown one gives an empty list.
        queued: Add the prompts that were sent while the agent was at work. The agent stores those as
            attachments, which the SDK leaves out.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.

    Raises:
        UnknownSessionError: No session has such an id.
        AmbiguousSessionError: Several sessions have such an id.
        SessionStoreError: The transcript can't be read.
    """

    def operation(connection: StoreConnection) -> Conversation:
        found = only_session(connection, session_id, project_key)
        transcript = Transcript(found.project_key, found.session_id, subpath or MAIN)
        lines = load(connection, transcript) or []
        chain = subagent_conversation(lines) if subpath else main_conversation(lines, queued=queued)
        messages = (_message(position, dict(line)) for position, line in enumerate(chain))
        return Conversation(found, messages)

    return UnitOfWork(bind, schema, encryption).read(
        f"read the conversation of session {session_id!r}", operation
    )


def _message(position: int, line: dict[str, Any]) -> Message:
    return Message(
        position,
        string_at(line, "uuid") or "",
        line["type"],
        string_at(line, "message", "role"),
        string_at(line, "message", "model"),
        said_at(line),
        text_of(as_message(line)),
        tools_of(line),
        line,
    )
