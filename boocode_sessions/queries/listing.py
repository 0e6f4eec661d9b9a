"""Which sessions there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    Select,
    and_,
    case,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
)

from boocode_sessions._core.codec import decode, decode_summary
from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import MAIN, SessionStoreEntry, Transcript
from boocode_sessions._core.operations import Tables
from boocode_sessions._core.sql.entry_json import json_member, stored_bytes
from boocode_sessions._core.sql.facts import fact, text_time, time_text
from boocode_sessions._core.statements.contract import exact_text, is_true_fold
from boocode_sessions._core.unit_of_work import Bind, Transactions
from boocode_sessions.models import ClaudeSessionEntry as Entry
from boocode_sessions.models import ClaudeSessionSummary as Summary
from boocode_sessions.queries.scope import moment
from boocode_sessions.queries.usage import calls_of_entries, calls_of_facts, largest


class SessionRow(NamedTuple):
    """One session, its subagents included."""

    project_key: str
    session_id: str
    title: str | None
    """As the SDK lists it: the title that was given or generated, else the last or the first prompt."""
    first_prompt: str | None
    entries: int
    subagents: int
    """Transcripts beside the main one."""
    bytes: int
    """What its entries take in the database, without indexes; on PostgreSQL compressed where they are."""
    tokens: int
    """Of all kinds, cached ones too, each API call once. A fork has those of its copied beginning as well."""
    started: datetime | None
    """When the agent wrote the first line."""
    updated: datetime
    """When the main transcript was last appended to."""
    held: bool
    """Whether it is exempt from pruning."""


def sessions(
    bind: Bind,
    *,
    project_key: str | None = None,
    since: datetime | None = None,
    limit: int | None = 50,
    schema: str | None = None,
) -> list[SessionRow]:
    """The sessions that were appended to last, newest first; `since`: not before this time.

    One statement, and a second one where another program's writes have overtaken a summary. It counts the
    entries of the sessions that it returns: with `limit=None` all of the store's.
    """
    moment("since", since)
    statement = _listed(project_key, since, limit)

    def operation(tables: Tables) -> list[SessionRow]:
        rows = [dict[str, Any](row) for row in tables.select(statement).mappings()]
        stale = [(row["project_key"], row["session_id"]) for row in rows if not row["fresh"]]
        folded = _fold(tables, stale) if stale else {}
        return [_row(row, folded) for row in rows]

    return Transactions(bind, schema).read("list the sessions", operation)


def _row(row: Mapping[str, Any], folded: Mapping[tuple[str, str], Mapping[str, Any]]) -> SessionRow:
    key = (row["project_key"], row["session_id"])
    data = (decode_summary(row["data"]) if row["fresh"] else folded.get(key)) or {}
    prompt = data.get("first_prompt") if data.get("first_prompt_locked") else data.get("command_fallback")
    titles = [data.get(name) for name in ("custom_title", "ai_title", "last_prompt", "summary_hint")]
    return SessionRow(
        row["project_key"],
        row["session_id"],
        next((title for title in [*titles, prompt] if title), None),
        prompt or None,
        int(row["entries"]),
        row["subagents"],
        int(row["bytes"]),
        int(row["tokens"]),
        row["started"],
        row["updated"],
        bool(row["held"]),
    )


def _listed(project_key: str | None, since: datetime | None, limit: int | None) -> Select[*tuple[Any, ...]]:
    at = Entry.created_at.type
    ours = select(Summary.project_key, Summary.session_id, Summary.updated_at.label("at")).where(
        Summary.updated_at.is_not(None)
    )
    others = select(Entry.project_key, Entry.session_id, Entry.created_at.label("at")).where(
        Entry.dedup_key.is_(None), Entry.subpath == MAIN
    )
    if project_key is not None:
        ours = ours.where(Summary.project_key == project_key)
        others = others.where(Entry.project_key == project_key)
    written = union_all(ours, others).subquery("written")
    updated = func.max(written.c.at, type_=at)
    newest = (
        select(written.c.project_key, written.c.session_id, updated.label("updated"))
        .group_by(written.c.project_key, written.c.session_id)
        .order_by(updated.desc(), written.c.project_key, written.c.session_id)
        .limit(limit)
    )
    if since is not None:
        newest = newest.having(updated >= since)
    page = newest.cte("page").prefix_with("MATERIALIZED", dialect="postgresql")

    def in_page(other: Any) -> Any:  # noqa: ANN401 - a subquery's columns have no useful type
        return and_(other.project_key == page.c.project_key, other.session_id == page.c.session_id)

    in_facts, is_answer = Entry.facts.is_not(None), Entry.type == literal_column("'assistant'")
    at = case((in_facts, fact(Entry.facts.expression, "at")), else_=time_text(Entry.timestamp))
    of_call = zip(calls_of_facts(), calls_of_entries(), strict=True)
    # Apart, for PostgreSQL, which would carry whole entries through the sorts.
    lines = (
        select(
            page.c.project_key,
            page.c.session_id,
            Entry.subpath.label("subpath"),
            case((Entry.subpath == MAIN, at)).label("at"),
            (stored_bytes(Entry.entry.expression) + stored_bytes(Entry.verbatim)).label("bytes"),
            *(
                case(
                    (fact(Entry.facts.expression, "call").is_not(None), fact_),
                    (in_facts, null()),
                    (is_answer, member),
                ).label(fact_.name)
                for fact_, member in of_call
            ),
        )
        .join_from(page, Entry, in_page(Entry))
        .cte("lines")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    # By transcript first: to count distinct subpaths PostgreSQL would sort all lines.
    key = (lines.c.project_key, lines.c.session_id)
    transcripts = (
        select(
            *key,
            lines.c.subpath,
            func.count().label("entries"),
            func.sum(lines.c.bytes).label("bytes"),
            func.min(lines.c.at).label("started"),
        )
        .group_by(*key, lines.c.subpath)
        .subquery("transcripts")
    )
    counted = (
        select(
            transcripts.c.project_key,
            transcripts.c.session_id,
            func.sum(transcripts.c.entries).label("entries"),
            func.count(func.nullif(transcripts.c.subpath, MAIN)).label("subagents"),
            func.sum(transcripts.c.bytes).label("bytes"),
            func.min(transcripts.c.started).label("started"),
        )
        .group_by(transcripts.c.project_key, transcripts.c.session_id)
        .cte("counted")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    calls = (
        select(*key, *largest(lines.c))
        .where(lines.c.call.is_not(None))
        .group_by(*key, lines.c.call)
        .subquery("calls")
    )
    # Those kept for an hour are among those that the cache took.
    total = (
        calls.c.input_tokens + calls.c.output_tokens + calls.c.cache_read_tokens + calls.c.cache_write_tokens
    )
    spent = (
        select(calls.c.project_key, calls.c.session_id, func.sum(total).label("tokens"))
        .group_by(calls.c.project_key, calls.c.session_id)
        .cte("spent")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    fresh = func.coalesce(is_true_fold(), false())
    return (
        select(
            page,
            counted.c.entries,
            counted.c.subagents,
            counted.c.bytes,
            text_time(counted.c.started).label("started"),
            func.coalesce(spent.c.tokens, 0).label("tokens"),
            fresh.label("fresh"),
            Summary.data,
            func.coalesce(Summary.held, false()).label("held"),
        )
        .join_from(page, counted, in_page(counted.c))
        .outerjoin(spent, in_page(spent.c))
        .outerjoin(Summary, in_page(Summary))
        .order_by(page.c.updated.desc(), page.c.project_key, page.c.session_id)
    )


def _fold(tables: Tables, stale: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """What the summaries of sessions would say, from the lines that can say it."""
    prompt = and_(json_member(Entry.entry.expression, "type") == "user", Entry.text.is_not(None))
    named = ("customTitle", "aiTitle", "lastPrompt", "summary")
    titles = (json_member(Entry.entry.expression, name).is_not(None) for name in named)
    statement = (
        select(Entry.project_key, Entry.session_id, exact_text())
        .where(
            tuple_(Entry.project_key, Entry.session_id).in_(stale),
            Entry.subpath == MAIN,
            or_(prompt, *titles),
        )
        .order_by(Entry.project_key, Entry.session_id, Entry.id)
    )
    lines: dict[tuple[str, str], list[SessionStoreEntry]] = {}
    for project_key, session_id, text in tables.select(statement):
        lines.setdefault((project_key, session_id), []).append(decode(text))
    return {
        key: fold(None, Transcript(*key, MAIN), said) or _without_sdk(said) for key, said in lines.items()
    }


def _without_sdk(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The little that can be told without the SDK's fold: the titles."""
    data: dict[str, Any] = {}
    for line in lines:
        for said, name in (
            ("customTitle", "custom_title"),
            ("aiTitle", "ai_title"),
            ("lastPrompt", "last_prompt"),
        ):
            if isinstance(value := line.get(said), str):
                data[name] = value
    return data
