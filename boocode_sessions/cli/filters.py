"""The filters that commands share: a session, and times."""

from datetime import datetime
from typing import Annotated, Any

import typer

from boocode_sessions.cli.database import Database, complete_session
from boocode_sessions.cli.values import moment

SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        parser=moment,
        help="From this time on: 2026-11-22, 2026-11-22T18:00, or an age such as 7d, 12h, 30m.",
    ),
]
UntilOption = Annotated[
    datetime | None,
    typer.Option("--until", metavar="WHEN", parser=moment, help="Before this time, written like --since."),
]
InSessionOption = Annotated[
    str | None,
    typer.Option(
        "--session",
        "-s",
        metavar="ID",
        help="Only this session, by its id or its beginning.",
        autocompletion=complete_session,
    ),
]


def within(
    database: Database,
    project: str | None,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
) -> dict[str, Any]:
    """Return the filters as the parameters that queries share."""
    if session is not None:
        project, session = database.session(session, project)
    return {
        "project_key": project,
        "session_id": session,
        "since": since,
        "until": until,
        "schema": database.schema,
    }
