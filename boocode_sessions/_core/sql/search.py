"""The SQL of PostgreSQL's index for full-text search."""

from __future__ import annotations

from typing import Any

from boocode_sessions._core.sql.functions import SQLFunction

SEARCHED_CHARS = 50_000
"""How much of a message, with JSON's escapes, a search on PostgreSQL reads."""


def spell_search_vector(document: str) -> str:
    """The expression of PostgreSQL's search index, over the text that names a JSONB document.

    It is immutable, and for no document may it raise or take long, or the append of that entry would fail
    for good. A tsvector holds 1 MB, and words with hyphens take a multiple of their bytes: of a long message
    the first 50,000 characters are searched. PostgreSQL's parser needs the square of a word's length (26 s
    for 50,000 characters of `a@a@a@`): longer ones are cut. It is spelled as the catalog shows it, without
    CASE, which is shown on several lines: Alembic compares the text.
    """
    text = f"jsonb_path_query_array({document}, '$.message.content ? (@.type() == \"string\")')"
    blocks = f"jsonb_path_query_array({document}, '$.message.content[*] ? (@.type == \"text\").text')"
    # As text the array has JSON's escapes, which would become part of words.
    return (
        f"to_tsvector('english', regexp_replace(left(({text} || {blocks})::text, {SEARCHED_CHARS}),"
        r" '\\(u....|.)|([^ \\]{200})', '\2 ', 'g'))"
    )


def spell_is_message(document: str) -> str:
    """Which entries PostgreSQL's index for search holds."""
    return f"{document} ->> 'type' IN ('user', 'assistant')"


class search_vector(SQLFunction[Any]):  # noqa: N801 - named as the SQL function it stands for
    """The words of `message_text`, for full-text search. PostgreSQL only."""

    postgresql = spell_search_vector
