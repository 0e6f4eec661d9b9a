"""Writes sessions as a small site: a page for each, and an index that filters without scripts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, cast

from boocode_sessions import pages
from boocode_sessions._core.arguments import checked
from boocode_sessions._core.codec import Cipher
from boocode_sessions._core.unit_of_work import Bind
from boocode_sessions.errors import UnknownSessionError
from boocode_sessions.queries import SessionRow, as_html, sessions
from boocode_sessions.redaction import Redactor

INDEX = "index.html"
PAGES = "sessions"
STATE = ".boocode-sessions.json"
"""A file with the digest of each page. A later run writes only pages whose digest has changed."""

_PAGE_NAME = re.compile(r"[\w-]{1,80}-[0-9a-f]{10}\.html", re.ASCII)


class SiteResult(NamedTuple):
    """What `write_site` did."""

    sessions: int
    written: int
    """Pages that are new or have changed."""
    removed: int
    """Pages of sessions that are gone."""
    bytes: int
    """Size of the written pages."""


@checked
def write_site(
    bind: Bind,
    destination: str | os.PathLike[str],
    *,
    project_key: str | None = None,
    session_id: str | None = None,
    overwrite: bool = False,
    everything: bool = False,
    progress: Callable[[int, int], None] | None = None,
    tz: tzinfo | None = UTC,
    schema: str | None = None,
    encryption: Cipher | None = None,
    redact: Redactor | None = None,
) -> SiteResult:
    """Write sessions as HTML pages with an index. A later run writes only what has changed.

    Each file appears whole or not at all, and only its owner can read it. Pages are removed if their session
    is gone or is no longer selected. Nothing else in the folder is touched.

    Args:
        bind: An Engine, sessionmaker, Connection or Session.
        destination: The folder of the site. It is made if it does not exist.
        project_key: Write only sessions of this project.
        session_id: Write only sessions with this id.
        overwrite: Write even if the folder has an index that is not ours.
        everything: Show every entry, as in `queries.as_html`.
        progress: Called after each session with the number of sessions that are done, and of all sessions.
        tz: The time zone that times are shown in; None for the local one.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        encryption: The store's `privacy.Encryption`, if it has one.
        redact: Takes secrets out of the pages and of the titles in the index. It numbers its placeholders in
            each run anew, so if one page has changed, all pages are written again.

    Raises:
        FileExistsError: The folder has an index that is not ours.
        MissingExtraError: The libraries of the extra `html` are not installed.
    """
    index_page = pages.index_page  # before anything is written
    root = Path(destination).expanduser()
    made = _read_state(root)
    if made is None and (root / INDEX).exists() and not overwrite:
        raise FileExistsError(17, "an index that is not ours is there already", str(root / INDEX))
    made = made or {}
    (root / PAGES).mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = [
        row
        for row in sessions(bind, project_key=project_key, limit=None, schema=schema, encryption=encryption)
        if session_id is None or row.session_id == session_id
    ]
    digests = {
        page_name(row.project_key, row.session_id): _digest(row, tz, redact, everything=everything)
        for row in rows
    }
    if redact is not None and (
        made != digests or not all((root / PAGES / name).exists() for name in digests)
    ):
        made = dict.fromkeys(made, "")
    state: dict[str, str] = {}
    listed: list[pages.Listed] = []
    written = size = 0
    for done, row in enumerate(rows, 1):
        name = page_name(row.project_key, row.session_id)
        digest = digests[name]
        if made.get(name) != digest or not (root / PAGES / name).exists():
            try:
                page = as_html(
                    bind,
                    row.session_id,
                    project_key=row.project_key,
                    everything=everything,
                    index=f"../{INDEX}",
                    tz=tz,
                    schema=schema,
                    encryption=encryption,
                    redact=None if redact is None else redact.entry,
                )
            except UnknownSessionError:
                continue  # deleted since it was listed
            size += _write(root / PAGES / name, page)
            written += 1
        state[name] = digest
        listed.append(_listed(row, f"{PAGES}/{name}", redact))
        if progress is not None:
            progress(done, len(rows))
    gone = [name for name in made if name not in state]
    # Write the state first: then it never names a page that was removed, whatever happens.
    _write(root / STATE, json.dumps(state, indent=1, sort_keys=True))
    for name in gone:
        (root / PAGES / name).unlink(missing_ok=True)
    if redact is None or written or gone or not (root / INDEX).exists():
        _write(root / INDEX, index_page(listed, tz=tz))
    return SiteResult(len(listed), written, len(gone), size)


def page_name(project_key: str, session_id: str) -> str:
    """Return the name of a session's page: the same in each run, and a safe name for any session."""
    both = json.dumps([project_key, session_id]).encode()
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", session_id)[:60] or "-"
    return f"{plain}-{hashlib.sha256(both).hexdigest()[:10]}.html"


def _listed(row: SessionRow, href: str, redact: Redactor | None) -> pages.Listed:
    said = row.title or row.first_prompt
    if said and redact is not None:
        said = redact.text(said)
    title = said or row.session_id
    return pages.Listed(href, title, row.project_key, row.session_id, row.last_said, row.entries, row.tokens)


def _digest(row: SessionRow, tz: tzinfo | None, redact: Redactor | None, *, everything: bool) -> str:
    """Return a digest of everything that a page depends on."""
    redacted = None if redact is None else redact.digest
    made_of = [version("boocode-sessions"), str(tz), everything, redacted, dataclasses.astuple(row)]
    return hashlib.sha256(json.dumps(made_of, default=str).encode()).hexdigest()[:32]


def _read_state(root: Path) -> Mapping[str, str] | None:
    """Return the pages of an earlier run and their digests, or None without one. Other names are dropped."""
    try:
        found = json.loads((root / STATE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    pairs = cast("dict[str, object]", found).items() if isinstance(found, dict) else ()
    return {name: str(digest) for name, digest in pairs if _PAGE_NAME.fullmatch(name)}


def _write(path: Path, text: str) -> int:
    data = text.encode()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return len(data)
