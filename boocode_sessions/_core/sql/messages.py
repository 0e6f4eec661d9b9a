"""SQL functions that read an entry's message: its text, its blocks, and the tools that it calls."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Text

from boocode_sessions._core.sql.functions import SQLFunction
from boocode_sessions._core.sql.types import JSON_DOCUMENT


class message_text(SQLFunction[Any]):
    """A message's text, or its text blocks with an empty line between them; NULL if it has neither."""

    type = Text()
    postgresql = (
        "CASE jsonb_typeof({0} #> '{{message,content}}')"
        " WHEN 'string' THEN {0} #>> '{{message,content}}' WHEN 'array' THEN"
        " (SELECT string_agg(block ->> 'text', chr(10) || chr(10) ORDER BY position)"
        " FROM jsonb_array_elements({0} #> '{{message,content}}') WITH ORDINALITY AS blocks (block, position)"
        " WHERE block -> 'type' = '\"text\"' AND jsonb_typeof(block -> 'text') = 'string') END"
    )
    sqlite = (
        "CASE json_type({0}, '$.message.content')"
        " WHEN 'text' THEN json_extract({0}, '$.message.content') WHEN 'array' THEN"
        " (SELECT group_concat(said, char(10, 10)) FROM (SELECT json_extract(value, '$.text') AS said"
        " FROM json_each({0}, '$.message.content') WHERE type = 'object'"
        " AND json_extract(value, '$.type') = 'text' AND json_type(value, '$.text') = 'text'"
        " ORDER BY key)) END"
    )


class message_tools(SQLFunction[Any]):
    """The names of the tools that a message calls, in order, as a JSON array; empty if it calls none."""

    type = JSON_DOCUMENT
    postgresql = (
        "coalesce((SELECT jsonb_agg(block -> 'name' ORDER BY position) FROM jsonb_array_elements("
        "CASE jsonb_typeof({0} #> '{{message,content}}') WHEN 'array' THEN {0} #> '{{message,content}}' END)"
        " WITH ORDINALITY AS blocks (block, position)"
        " WHERE block -> 'type' = '\"tool_use\"' AND jsonb_typeof(block -> 'name') = 'string'), '[]')"
    )
    sqlite = (
        "(SELECT json_group_array(name) FROM (SELECT json_extract(value, '$.name') AS name"
        " FROM json_each({0}, '$.message.content') WHERE type = 'object'"
        " AND json_type({0}, '$.message.content') = 'array'"
        " AND json_extract(value, '$.type') = 'tool_use' AND json_type(value, '$.name') = 'text'"
        " ORDER BY key))"
    )


class json_array_holds(SQLFunction[bool]):
    """True if a JSON array of strings holds this string."""

    type = Boolean()
    postgresql = "({0} ? {1})"
    sqlite = "EXISTS (SELECT 1 FROM json_each({0}) WHERE value = {1})"


class message_blocks(SQLFunction[Any]):
    """The blocks of a message's content as rows, in the column `value`; no rows if the content is text."""

    postgresql = (
        "jsonb_array_elements(CASE jsonb_typeof({0} #> '{{message,content}}')"
        " WHEN 'array' THEN {0} #> '{{message,content}}' END)"
    )
    # A block that is no object becomes an empty one: JSON functions raise over text that isn't JSON.
    sqlite = (
        "json_each((SELECT json_group_array(json(CASE type WHEN 'object' THEN value ELSE '{{}}' END))"
        " FROM json_each(CASE json_type({0}, '$.message.content')"
        " WHEN 'array' THEN json_extract({0}, '$.message.content') END)))"
    )
