"""The commands `generate-key` and `reencrypt`."""

from typing import Annotated

import typer

from boocode_sessions.cli.database import KEY_FILE_VARIABLE, KEYS_VARIABLE, BadInput, Database
from boocode_sessions.cli.output import JsonOption, count, print_json, progress
from boocode_sessions.cli.program import Command, Panel, app, over_database
from boocode_sessions.cli.screen import say


@app.command("generate-key", cls=Command, rich_help_panel=Panel.set_up)
def generate_key(
    key_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The key's id, such as 2026-11; by default made from it."),
    ] = None,
) -> None:
    """Print a new encryption key. Keep it away from the database: without it nothing can be read."""
    from boocode_sessions.privacy import generate_key as make

    typer.echo(make(key_id))


@over_database("reencrypt", panel=Panel.set_up)
def reencrypt(
    database: Database,
    *,
    from_plain: Annotated[
        bool, typer.Option("--from-plain", help="Also encrypt what is not encrypted yet.")
    ] = False,
    pause: Annotated[
        float, typer.Option("--pause", min=0, metavar="SECONDS", help="How long to wait after each batch.")
    ] = 0.0,
    json: JsonOption = False,
) -> None:
    """Encrypt everything with the newest key, in batches, beside live writers.

    It can be stopped and run again. The old rows stay in the database's files until a VACUUM.
    """
    if (encryption := database.encryption) is None:
        raise BadInput(f"there is no key: set {KEY_FILE_VARIABLE} or {KEYS_VARIABLE}")
    from boocode_sessions.privacy import Encryption
    from boocode_sessions.privacy import reencrypt as run

    if from_plain:
        encryption = Encryption(encryption.keys, reads_plain=True)
    with progress("Encrypting", "entries") as show:
        done = run(
            database.engine,
            encryption,
            schema=database.schema,
            pause=pause,
            progress=lambda entries: show(entries, None),
        )
    if json:
        print_json(done._asdict())
    else:
        summaries = count(done.summaries, "summary")
        typer.echo(f"{count(done.entries, 'entry')} and {summaries} encrypted")
    if done.unplaced:
        rows = count(done.unplaced, "row")
        say(f"{rows} of other programs left: run `boocode-sessions backfill`, then this again")
        raise typer.Exit(1)
