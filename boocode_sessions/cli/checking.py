"""The command `check`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boocode_sessions.cli.database import Database, ProjectOption
from boocode_sessions.cli.moving import agent_folder
from boocode_sessions.cli.output import JsonOption, count, print_json
from boocode_sessions.cli.program import Panel, over_database
from boocode_sessions.cli.screen import say

if TYPE_CHECKING:
    from boocode_sessions.agents.integrity import Finding, Report


@over_database("check", panel=Panel.tidy_up)
def check(
    database: Database,
    *,
    session: Annotated[
        str | None,
        typer.Argument(metavar="SESSION", help="The session's id or its beginning; by default every one."),
    ] = None,
    project: ProjectOption = None,
    files: Annotated[
        Path | None,
        typer.Option(
            "--files",
            metavar="PATH",
            exists=True,
            file_okay=False,
            help="The .claude/projects folder to compare with; by default your own.",
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Import the lines that only the files have.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find broken chains, calls without results, missing subagents, and lines that only files have.

    The exit status is 1 if anything is missing.
    """
    from boocode_sessions import queries
    from boocode_sessions.agents.integrity import check_session

    meant: list[Any]
    if session is not None:
        meant = [database.session(session, project)]
    else:
        database.check_project(project)
        listed = queries.sessions(database.reading, project_key=project, limit=None, **database.access)
        meant = [(row.project_key, row.session_id) for row in listed]
    reports = [
        check_session(
            database.engine,
            project_key,
            session_id,
            files=files or agent_folder(),
            repair=repair,
            **database.access,
        )
        for project_key, session_id in meant
    ]
    if json:
        print_json([asdict(report) | {"whole": report.is_whole} for report in reports])
    else:
        for report in reports:
            _print_report(report)
        broken = sum(not report.is_whole for report in reports)
        typer.echo(f"{count(len(reports), 'session')} checked, {broken:,} not whole")
    if not all(report.is_whole for report in reports):
        raise typer.Exit(1)


def _print_report(report: "Report") -> None:
    for finding in report.findings:
        say(f"{report.session_id} {finding.subpath or 'main'}: {_sentence(finding)}")
    if report.in_files:
        done = "taken in from" if report.repaired else "only in"
        say(f"{report.session_id}: {count(report.in_files, 'line')} {done} the agent's own files")


def _sentence(finding: "Finding") -> str:
    match finding.kind:
        case "broken_chain":
            return f"entry {finding.id} follows {finding.missing}, which is not there"
        case "missing_result":
            return f"the call {finding.id} has no result"
        case "missing_subagent":
            return f"subagent {finding.id} has no transcript"
