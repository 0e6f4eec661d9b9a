"""SQL functions that read an entry's JSON, spelled for PostgreSQL and for SQLite.

Each gives the same value on both databases, and NULL instead of an
error where an entry has another shape: one odd line must not break a question to all of them.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnClause,
    ColumnElement,
    Date,
    Float,
    Text,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from boocode_sessions._core.sql.functions import UTCDateTime

JSON_DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""How an entry and its facts are stored, to be queried."""


class _AtPath(FunctionElement[Any]):
    """A function of what a JSON document holds at a path of members."""

    inherit_cache = True

    def __init__(self, document: ColumnElement[Any], *path: str) -> None:
        super().__init__(document, *map(literal_column, path))

    def spelled(self, compiler: SQLCompiler, **kw: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - SQLAlchemy's arguments
        document, *path = self.clauses
        names = tuple(part.name for part in path if isinstance(part, ColumnClause))
        return compiler.process(document, **kw), names


class json_string(_AtPath):  # noqa: N801 - named as the SQL function it stands for
    """The string at a path; NULL where there is anything else."""

    type = Text()
    inherit_cache = True


@compiles(json_string, "postgresql")
def _json_string_on_postgresql(element: json_string, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    return _string_on_postgresql(document, path)


@compiles(json_string, "sqlite")
def _json_string_on_sqlite(element: json_string, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    return _string_on_sqlite(document, path)


class json_is_true(_AtPath):  # noqa: N801 - named as the SQL function it stands for
    """Whether there is `true` at a path; never NULL."""

    type = Boolean()
    inherit_cache = True


@compiles(json_is_true, "postgresql")
def _json_is_true_on_postgresql(element: json_is_true, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    return f"coalesce({document} #> '{{{','.join(path)}}}' = 'true', false)"


@compiles(json_is_true, "sqlite")
def _json_is_true_on_sqlite(element: json_is_true, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    return f"coalesce(json_type({document}, '$.{'.'.join(path)}') = 'true', 0)"


class json_time(_AtPath):  # noqa: N801 - named as the SQL function it stands for
    """The time at a path, written as RFC 3339 writes it; NULL where there is anything else.

    Years 1000 to 2999, up to six digits of a second, zones to 14 hours: what both databases can read.
    """

    type = UTCDateTime()
    inherit_cache = True


@compiles(json_time, "postgresql")
def _json_time_on_postgresql(element: json_time, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return _time_on_postgresql(_string_on_postgresql(*element.spelled(compiler, **kw)))


@compiles(json_time, "sqlite")
def _json_time_on_sqlite(element: json_time, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return _time_on_sqlite(_string_on_sqlite(*element.spelled(compiler, **kw)))


class message_text(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """What a message says: its text blocks, with an empty line between; NULL where it says nothing."""

    type = Text()
    inherit_cache = True


@compiles(message_text, "postgresql")
def _message_text_on_postgresql(element: message_text, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    content = f"{compiler.process(element.clauses, **kw)} #> '{{message,content}}'"
    return (
        f"CASE jsonb_typeof({content}) WHEN 'string' THEN {content} #>> '{{}}' WHEN 'array' THEN"
        " (SELECT string_agg(block ->> 'text', chr(10) || chr(10) ORDER BY position)"
        f" FROM jsonb_array_elements({content}) WITH ORDINALITY AS blocks (block, position)"
        " WHERE block -> 'type' = '\"text\"' AND jsonb_typeof(block -> 'text') = 'string') END"
    )


@compiles(message_text, "sqlite")
def _message_text_on_sqlite(element: message_text, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document = compiler.process(element.clauses, **kw)
    return (
        f"CASE json_type({document}, '$.message.content')"
        f" WHEN 'text' THEN json_extract({document}, '$.message.content') WHEN 'array' THEN"
        " (SELECT group_concat(said, char(10, 10)) FROM (SELECT json_extract(value, '$.text') AS said"
        f" FROM json_each({document}, '$.message.content') WHERE type = 'object'"
        " AND json_extract(value, '$.type') = 'text' AND json_type(value, '$.text') = 'text'"
        " ORDER BY key)) END"
    )


class message_tools(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """The names of the tools that a message calls, in order, as a JSON array; empty where it calls none."""

    type = JSON_DOCUMENT
    inherit_cache = True


@compiles(message_tools, "postgresql")
def _message_tools_on_postgresql(element: message_tools, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    content = f"{compiler.process(element.clauses, **kw)} #> '{{message,content}}'"
    return (
        "coalesce((SELECT jsonb_agg(block -> 'name' ORDER BY position) FROM jsonb_array_elements("
        f"CASE jsonb_typeof({content}) WHEN 'array' THEN {content} END)"
        " WITH ORDINALITY AS blocks (block, position)"
        " WHERE block -> 'type' = '\"tool_use\"' AND jsonb_typeof(block -> 'name') = 'string'), '[]')"
    )


@compiles(message_tools, "sqlite")
def _message_tools_on_sqlite(element: message_tools, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document = compiler.process(element.clauses, **kw)
    return (
        "(SELECT json_group_array(name) FROM (SELECT json_extract(value, '$.name') AS name"
        f" FROM json_each({document}, '$.message.content') WHERE type = 'object'"
        f" AND json_type({document}, '$.message.content') = 'array'"
        " AND json_extract(value, '$.type') = 'tool_use' AND json_type(value, '$.name') = 'text'"
        " ORDER BY key))"
    )


class json_array_holds(FunctionElement[bool]):  # noqa: N801 - named as the SQL function it stands for
    """Whether a JSON array of strings holds one."""

    type = Boolean()
    inherit_cache = True


@compiles(json_array_holds, "postgresql")
def _holds_on_postgresql(element: json_array_holds, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    array, member = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({array} ? {member})"


@compiles(json_array_holds, "sqlite")
def _holds_on_sqlite(element: json_array_holds, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    array, member = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"EXISTS (SELECT 1 FROM json_each({array}) WHERE value = {member})"


class json_member(_AtPath):  # noqa: N801 - named as the SQL function it stands for
    """A member as text, as PostgreSQL's indexes of messages have it."""

    type = Text()
    inherit_cache = True


@compiles(json_member, "postgresql")
def _json_member_on_postgresql(element: json_member, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    return f"({document} ->> '{path[0]}')"


@compiles(json_member, "sqlite")
def _json_member_on_sqlite(element: json_member, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    return f"json_extract({document}, '$.{path[0]}')"


class json_count(_AtPath):  # noqa: N801 - named as the SQL function it stands for
    """The number at a path as a whole one from 0 to 10^15; NULL where there is anything else."""

    type = BigInteger()
    inherit_cache = True


@compiles(json_count, "postgresql")
def _json_count_on_postgresql(element: json_count, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    at = f"{document} #> '{{{','.join(path)}}}'"
    number = f"least(greatest(CAST({at} AS NUMERIC), 0), 1000000000000000)"
    return f"CASE jsonb_typeof({at}) WHEN 'number' THEN CAST({number} AS BIGINT) END"


@compiles(json_count, "sqlite")
def _json_count_on_sqlite(element: json_count, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    document, path = element.spelled(compiler, **kw)
    at = f"{document}, '$.{'.'.join(path)}'"
    number = f"CAST(round(min(max(json_extract({at}), 0), 1000000000000000)) AS INTEGER)"
    return f"CASE WHEN json_type({at}) IN ('integer', 'real') THEN {number} END"


class message_blocks(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """The blocks of a message's content, as rows with one column, `value`; no row for one that is text."""

    inherit_cache = True


@compiles(message_blocks, "postgresql")
def _message_blocks_on_postgresql(element: message_blocks, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    kw.pop("asfrom", None)
    content = f"{compiler.process(element.clauses, **kw)} #> '{{message,content}}'"
    return f"jsonb_array_elements(CASE jsonb_typeof({content}) WHEN 'array' THEN {content} END)"


@compiles(message_blocks, "sqlite")
def _message_blocks_on_sqlite(element: message_blocks, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    kw.pop("asfrom", None)
    content = f"{compiler.process(element.clauses, **kw)}, '$.message.content'"
    # What is no object becomes one that says nothing: JSON functions raise over text that is no JSON.
    return (
        "json_each((SELECT json_group_array(json(CASE type WHEN 'object' THEN value ELSE '{}' END))"
        f" FROM json_each(CASE json_type({content}) WHEN 'array' THEN json_extract({content}) END)))"
    )


class seconds_between(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """From one time to another, in seconds."""

    type = Float()
    inherit_cache = True


@compiles(seconds_between, "postgresql")
def _seconds_on_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"CAST(extract(epoch FROM {end} - {start}) AS DOUBLE PRECISION)"


@compiles(seconds_between, "sqlite")
def _seconds_on_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    start, end = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 86400.0)"


class day_of(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """The day of a time that is text in the form of the fact `at`."""

    type = Date()
    inherit_cache = True


@compiles(day_of, "postgresql")
def _day_on_postgresql(element: day_of, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"CAST(left({compiler.process(element.clauses, **kw)}, 10) AS DATE)"


@compiles(day_of, "sqlite")
def _day_on_sqlite(element: day_of, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"date({compiler.process(element.clauses, **kw)})"


class stored_bytes(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """How many bytes a value takes: on PostgreSQL as it is stored, compressed perhaps; 0 for NULL."""

    type = BigInteger()
    inherit_cache = True


@compiles(stored_bytes, "postgresql")
def _bytes_on_postgresql(element: stored_bytes, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"coalesce(pg_column_size({compiler.process(element.clauses, **kw)}), 0)"


@compiles(stored_bytes, "sqlite")
def _bytes_on_sqlite(element: stored_bytes, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"coalesce(length(CAST({compiler.process(element.clauses, **kw)} AS BLOB)), 0)"


class search_vector(FunctionElement[Any]):  # noqa: N801 - named as the SQL function it stands for
    """The words of `message_text`, for full-text search. PostgreSQL only."""

    inherit_cache = True


@compiles(search_vector, "postgresql")
def _search_vector_on_postgresql(element: search_vector, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return spell_search_vector(compiler.process(element.clauses, **kw))


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


SEARCHED_CHARS = 50_000
"""How much of a message, with JSON's escapes, a search on PostgreSQL reads."""


def spell_is_message(document: str) -> str:
    """Which entries PostgreSQL's indexes of messages hold."""
    return f"{document} ->> 'type' IN ('user', 'assistant')"


def _string_on_postgresql(document: str, path: tuple[str, ...]) -> str:
    # One member by its own operator: the general one takes its path apart for each row.
    arrow, at = ("->", f"'{path[0]}'") if len(path) == 1 else ("#>", f"'{{{','.join(path)}}}'")
    return f"CASE jsonb_typeof({document} {arrow} {at}) WHEN 'string' THEN {document} {arrow}> {at} END"


def _string_on_sqlite(document: str, path: tuple[str, ...]) -> str:
    at = f"'$.{'.'.join(path)}'"
    return f"CASE json_type({document}, {at}) WHEN 'text' THEN json_extract({document}, {at}) END"


def _time_on_postgresql(text: str) -> str:
    # A cast raises on a date such as 30 February, so that none but real ones may reach it.
    return f"CASE WHEN {text} ~ '^{_REAL_TIME}$' THEN CAST({text} AS TIMESTAMP WITH TIME ZONE) END"


def _time_on_sqlite(text: str) -> str:
    # As text in UTC, in the form and the six digits in which SQLAlchemy writes a datetime. SQLite takes
    # 30 February for 2 March: what it reads must be what was written.
    digit, seconds = "[0-9]", "strftime('%Y-%m-%dT%H:%M:%S', day, '+0 days')"
    day = "-".join([f"[12]{digit * 3}", digit * 2, digit * 2]) + f"T{digit * 2}:{digit * 2}:{digit * 2}"
    zone = "CASE substr(said, -1) WHEN 'Z' THEN 'Z' ELSE substr(said, -6) END"
    return (
        f"(SELECT strftime('%Y-%m-%d %H:%M:%S', day || zone) || '.' || substr(fraction || '000000', 2, 6)"
        f" FROM (SELECT day, zone, substr(said, 20, length(said) - 19 - length(zone)) || '' AS part,"
        f" coalesce(nullif(substr(said, 20, length(said) - 19 - length(zone)), ''), '.') AS fraction"
        f" FROM (SELECT said, substr(said, 1, 19) AS day, {zone} AS zone FROM (SELECT {text} AS said)))"
        f" WHERE day GLOB '{day}' AND {seconds} = day"
        f" AND (zone = 'Z' OR zone GLOB '[+-]{digit * 2}:[0-5]{digit}')"
        f" AND (part = '' OR (part GLOB '.{digit}*' AND length(part) <= 7"
        f" AND substr(part, 2) NOT GLOB '*[^0-9]*')))"
    )


_REAL_DAY = (
    "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)-02-29)"
)
_REAL_TIME = (
    _REAL_DAY + "T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,6})?"
    "(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
)
