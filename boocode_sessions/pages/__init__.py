"""Renders transcripts as HTML pages. Each is one self-contained file without scripts or requests.

A transcript is hostile input: a tool's result, a file's name or a title may hold markup that is meant to run.
Every text is escaped. Markdown passes no HTML through and links only to the web. The Content-Security-Policy
of each page forbids scripts, requests, frames and foreign styles.

This package reads no database: `queries.as_html` reads a session and calls it. It needs the extra `html`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boocode_sessions.errors import MissingExtraError

if TYPE_CHECKING:
    from boocode_sessions.pages.document import Listed, index_page, session_page, title_of

__all__ = ["Listed", "index_page", "session_page", "title_of"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from boocode_sessions.pages import document  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("an HTML page", "boocode-sessions[html]", error.name) from None
    return getattr(document, name)
