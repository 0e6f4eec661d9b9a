"""Read-only views of sessions, entries and usage for SQLAdmin in your own application.

    from sqladmin import Admin
    from boocode_sessions.admin import add_views

    add_views(Admin(app, engine))

Protect them with your own authentication: whoever sees these pages can read every transcript. They need the
extra `admin`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar, cast

from boocode_sessions import queries
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.attributes import string_at, text_of, tools_of, visible
from boocode_sessions._core.greenlets import in_greenlet
from boocode_sessions.errors import MissingExtraError
from boocode_sessions.models import ClaudeSession, ClaudeSessionEntry

try:
    from sqladmin import Admin, BaseView, ModelView, expose
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, Response
except ModuleNotFoundError as error:
    raise MissingExtraError("an admin view", "boocode-sessions[admin]", error.name) from None


def _summary_line(row: ClaudeSessionEntry, *_: object) -> str:
    """Return what an entry says, or what it is about, on one line."""
    said = text_of(row.entry) or ", ".join(tools_of(row.entry)) or string_at(row.entry, "subtype") or ""
    return " ".join(visible(said[:400]).split())[:200]


def _formatted_json(row: ClaudeSessionEntry, *_: object) -> str:
    return visible(json.dumps(row.entry, indent=2, ensure_ascii=False))


class _ReadOnly(ModelView):
    category = "Claude"
    can_create = can_edit = can_delete = can_export = False
    page_size = 50
    page_size_options: ClassVar[Any] = [25, 50, 100]


class SessionAdmin(_ReadOnly, model=ClaudeSession):
    """The sessions, the most recently used one first."""

    name = "Session"
    name_plural = "Sessions"
    icon = "fa-solid fa-comments"
    column_list: ClassVar[Any] = [
        ClaudeSession.session_id,
        ClaudeSession.project_key,
        ClaudeSession.last_said_at,
        ClaudeSession.entries,
        ClaudeSession.subagents,
        ClaudeSession.bytes,
        ClaudeSession.tokens,
        ClaudeSession.held,
    ]
    column_details_exclude_list: ClassVar[Any] = [ClaudeSession.next_position, ClaudeSession.main_position]
    column_searchable_list: ClassVar[Any] = [ClaudeSession.session_id, ClaudeSession.project_key]
    column_sortable_list: ClassVar[Any] = column_list
    column_default_sort: ClassVar[Any] = [(ClaudeSession.last_said_at, True)]


class EntryAdmin(_ReadOnly, model=ClaudeSessionEntry):
    """The entries, newest first."""

    name = "Entry"
    name_plural = "Entries"
    icon = "fa-solid fa-list"
    column_list: ClassVar[Any] = [
        ClaudeSessionEntry.id,
        ClaudeSessionEntry.said_at,
        ClaudeSessionEntry.type,
        ClaudeSessionEntry.entry,
        ClaudeSessionEntry.model,
        ClaudeSessionEntry.session_id,
        ClaudeSessionEntry.subpath,
        ClaudeSessionEntry.project_key,
    ]
    column_details_exclude_list: ClassVar[Any] = [ClaudeSessionEntry.dedup_key]
    column_labels: ClassVar[Any] = {ClaudeSessionEntry.entry: "says"}
    column_searchable_list: ClassVar[Any] = [ClaudeSessionEntry.session_id]
    column_sortable_list: ClassVar[Any] = [ClaudeSessionEntry.id]
    column_default_sort: ClassVar[Any] = [(ClaudeSessionEntry.id, True)]
    column_formatters: ClassVar[Any] = {ClaudeSessionEntry.entry: _summary_line}
    column_formatters_detail: ClassVar[Any] = {ClaudeSessionEntry.entry: _formatted_json}


class UsageAdmin(BaseView):
    """Calls and tokens by day and model."""

    name = "Usage"
    category = "Claude"
    icon = "fa-solid fa-chart-column"

    @expose("/claude-usage", methods=["GET"], identity="claude-usage")
    async def usage(self, request: Request) -> Response:
        """Render the page."""
        bind = cast("Any", self._admin_ref).session_maker
        if self._admin_ref.is_async:
            rows = await in_greenlet(lambda: queries.usage(lambda: bind().sync_session))
        else:
            rows = await asyncio.to_thread(queries.usage, bind)
        shown = {"request": request, "title": "Usage", "subtitle": "", "rows": rows[::-1], "names": _AMOUNTS}
        template = self.templates.env.from_string(_USAGE)
        return HTMLResponse(await template.render_async(shown))


@checked
def add_views(admin: Admin) -> None:
    """Add the views of sessions, entries and usage to your admin."""
    admin.add_view(SessionAdmin)
    admin.add_view(EntryAdmin)
    admin.add_view(UsageAdmin)


_AMOUNTS = (
    "day",
    "model",
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)
_USAGE = """
{% extends "sqladmin/layout.html" %}
{% block content %}
<div class="col-12"><div class="card">
<div class="card-header"><h3 class="card-title">Usage by day (UTC) and model</h3></div>
<div class="table-responsive"><table class="table table-vcenter card-table">
<thead><tr>{% for name in names %}<th>{{ name.replace("_", " ") }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr>
{% for name in names %}
{% set value = row[name] %}
<td>{{ "{:,}".format(value) if value is integer else "" if value is none else value }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table></div></div></div>
{% endblock %}
"""
