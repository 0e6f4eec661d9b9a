"""Renders whole documents: a session's page, and the index of a site."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib import resources
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from boocode_sessions._core.arguments import checked
from boocode_sessions._core.attributes import string_at, text_of, time_of, visible
from boocode_sessions._core.derived.records import NOTICE
from boocode_sessions.pages.blocks import Line
from boocode_sessions.pages.entries import Reader
from boocode_sessions.pages.text import code_styles


class Listed(NamedTuple):
    """A session in an index."""

    href: str
    title: str
    project_key: str
    session_id: str
    at: datetime | None
    entries: int
    tokens: int


@checked
def session_page(
    lines: Sequence[Line],
    subagents: Mapping[str, Sequence[Line]],
    *,
    session_id: str,
    project_key: str,
    title: str | None = None,
    note: str | None = None,
    index: str | None = None,
    tz: tzinfo | None = UTC,
) -> str:
    """Render a session as one HTML document.

    Args:
        lines: The main transcript's lines, or those of its conversation.
        subagents: The lines of each subagent's transcript, by subpath.
        session_id: The session's id, which the page shows.
        project_key: The project key, which the page shows.
        title: The heading. The default is the title in the lines, or the first prompt.
        note: A text to show below the entries, such as what is left out.
        index: The address of a page that lists the sessions.
        tz: The time zone that times are shown in; None for the local one.
    """
    reader = Reader(subagents, tz)
    entries = reader.entries(lines)
    times = [at for line in lines if (at := time_of(line))]
    return _render(
        "session.html",
        title=title or title_of(lines) or session_id,
        session_id=session_id,
        project_key=project_key,
        entries=entries,
        more=reader.unattached(),
        models=sorted({entry.model for entry in entries if entry.model and entry.model != NOTICE}),
        first=min(times).astimezone(tz) if times else None,
        last=max(times).astimezone(tz) if times else None,
        note=note,
        index=index,
    )


@checked
def index_page(listed: Sequence[Listed], *, tz: tzinfo | None = UTC) -> str:
    """Render an HTML document that lists sessions by project, with filters that need no script."""
    projects: dict[str, list[Listed]] = {}
    for session in listed:
        projects.setdefault(session.project_key, []).append(session)
    newest = max((session.at for session in listed if session.at), default=None)
    return _render("index.html", title="Sessions", projects=projects, newest=newest, ages=(7, 30, 365), tz=tz)


@checked
def title_of(lines: Sequence[Line]) -> str | None:
    """Return the last given title, else the last generated one, else the start of the first prompt."""
    for name in ("customTitle", "aiTitle"):
        for line in reversed(lines):
            if title := string_at(line, name):
                return title
    asked = (line for line in lines if line.get("type") == "user" and line.get("isMeta") is not True)
    prompts = (text_of(line) for line in asked)
    return next((" ".join(prompt.split())[:120] for prompt in prompts if prompt), None)


def _render(template: str, **values: object) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    # The style sheet is ours, and must stay exactly the text that the digest was made from.
    return _environment().get_template(template).render(policy=policy, style=Markup(style), **values)  # noqa: S704


@cache
def _style() -> str:
    own = resources.files("boocode_sessions.pages").joinpath("templates", "style.css").read_text("utf-8")
    dark = code_styles("github-dark", ".code")
    light = code_styles("friendly", ".code")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


def _finalize(value: object) -> object:
    """Make text visible in a template's output. Markup stays as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("boocode_sessions.pages"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
