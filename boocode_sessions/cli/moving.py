"""The commands `import` and `export`."""

import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boocode_sessions.cli.database import Database, ProjectOption
from boocode_sessions.cli.filters import InSessionOption
from boocode_sessions.cli.output import (
    JsonOption,
    PatternOption,
    RedactOption,
    count,
    print_json,
    progress,
    redactor,
    report_redacted,
)
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.screen import say
from boocode_sessions.cli.tables import size

if TYPE_CHECKING:
    from boocode_sessions.jsonl import BrokenLine
    from boocode_sessions.redaction import Redactor


class Layout(StrEnum):
    """The format in which `export` writes sessions."""

    jsonl = "jsonl"
    html = "html"


WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        metavar="N",
        min=1,
        help="How many threads to use; by default as many as suit the database.",
    ),
]


@over_database("import", panel=Panel.move)
def import_(
    database: Database,
    *,
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="A .claude/projects folder, or one project's; by default your own."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first broken line.")] = False,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Import the transcripts that the agent keeps in files.

    A second import adds only what is new. Broken lines and files that are no transcripts are reported, and
    the import goes on; the exit status is then 1. At the end it fills the tables that `usage`, `tools` and
    `search` read. If you stop it there, everything is imported already.
    """
    from boocode_sessions.errors import SessionStoreError
    from boocode_sessions.jsonl import import_tree
    from boocode_sessions.queries import prepare

    told = {"skipped": 0, "repaired": 0, "left out": 0}

    def report(broken: "BrokenLine") -> None:
        done = "left out" if broken.line is None else "repaired" if broken.kept else "skipped"
        told[done] += 1
        say(f"{done} {broken}")

    with progress("Importing", "bytes") as show:
        result = import_tree(
            database.engine,
            path or agent_folder(),
            **database.access,
            strict=strict,
            workers=workers,
            progress=lambda at: show(at.bytes_done, at.bytes_total),
            on_broken=report,
        )
    if json:
        left_out = told["left out"]
        lines = [str(broken) for broken in result.first_broken if broken.line is not None]
        counted = {"broken": result.broken - left_out, "first_broken": lines, "left_out": left_out}
        print_json(asdict(result) | counted)
    else:
        typer.echo(
            f"{count(result.files, 'file')}, {size(result.bytes)}: "
            f"{count(result.added, 'entry')} added, {result.skipped:,} stored before"
            + "".join(
                f", {count(number, 'file' if done == 'left out' else 'broken line')} {done}"
                for done, number in told.items()
                if number
            )
        )
    try:
        with progress("Preparing usage and search", "sessions") as show:
            prepare(database.engine, schema=database.schema, progress=show)
    except SessionStoreError as error:
        say(f"imported; who asks first will wait: {error}")
    if result.broken:
        raise typer.Exit(1)


@over_database("export", panel=Panel.move)
def export(
    database: Database,
    *,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to write to.")],
    session: InSessionOption = None,
    project: ProjectOption = None,
    format: Annotated[  # noqa: A002 - the option's name
        Layout, typer.Option("--format", "-f", help="The agent's own files, or pages for a browser.")
    ] = Layout.jsonl,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    redact: RedactOption = False,
    redact_pattern: PatternOption = None,
    workers: WorkersOption = None,
    json: JsonOption = False,
) -> None:
    """Write sessions as the agent's own files, from which it can resume them.

    Files that exist already are left alone and reported; the exit status is then 1. `--format html` writes a
    small site instead: an index, and a page for each session. A later run writes only pages that have
    changed.
    """
    hidden = redactor(redact, redact_pattern)
    if session is not None:
        project, session = database.session(session, project)
    else:
        database.check_project(project)
    if format is Layout.html:
        _write_site(database, destination, project, session, hidden, overwrite=overwrite, as_json=json)
        return
    from boocode_sessions.jsonl import export_tree

    with progress("Exporting", "sessions") as show:
        result = export_tree(
            database.reading,
            destination,
            **database.access,
            project_key=project,
            session_id=session,
            overwrite=overwrite,
            redact=None if hidden is None else hidden.entry,
            workers=workers,
            progress=lambda at: show(at.parts_done, at.parts_total),
        )
    report_redacted(hidden)
    for refused in result.refused:
        say(f"not written: {'/'.join(map(str, refused.key.values()))}: {refused.reason}")
    if json:
        counted = asdict(result)
        counted["refused"] = [{**refused.key, "reason": refused.reason} for refused in result.refused]
        print_json(counted)
    else:
        typer.echo(
            f"{count(result.sessions, 'session')}, {count(result.files, 'file')}, "
            f"{count(result.entries, 'entry')}, {size(result.bytes)} written to {destination}"
        )
    if result.refused:
        raise typer.Exit(1)


def _write_site(
    database: Database,
    destination: Path,
    project: str | None,
    session_id: str | None,
    hidden: "Redactor | None",
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    from boocode_sessions.site import INDEX, write_site

    with progress("Exporting", "sessions") as show:
        result = write_site(
            database.reading,
            destination,
            project_key=project,
            session_id=session_id,
            overwrite=overwrite,
            progress=show,
            tz=None,
            **database.access,
            redact=hidden,
        )
    report_redacted(hidden)
    if as_json:
        print_json(result._asdict())
    else:
        typer.echo(
            f"{count(result.sessions, 'session')}, {count(result.written, 'page')} written, "
            f"{result.removed:,} removed: {destination / INDEX}"
        )


def agent_folder() -> Path:
    """Return the folder in which the agent keeps its transcripts."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude") / "projects"
