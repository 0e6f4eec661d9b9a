"""The commands `demo`, `upgrade`, `status`, `distribute`, `adopt`, `backfill` and `host-revision`."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boocode_sessions.cli.database import BadInput, Database, SchemaOption, Where
from boocode_sessions.cli.output import JsonOption, count, print_json, progress
from boocode_sessions.cli.program import Command, Panel, app, over_database
from boocode_sessions.cli.screen import one_line, say, screen_of
from boocode_sessions.cli.tables import shown, size

if TYPE_CHECKING:
    from boocode_sessions.status import Holdings, SchemaStatus


@app.command("demo", cls=Command, rich_help_panel=Panel.set_up)
def demo(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Where to keep the demo's database; by default it is removed."),
    ] = None,
) -> None:
    """Take a tour on a database of its own: make the tables, store some sessions, query them."""
    from boocode_sessions.cli.demo import run

    if file is not None and file.exists():
        raise BadInput(f"{file} is there already: name a file that is not")
    run(file)


@over_database("upgrade", panel=Panel.set_up, may_create=True)
def upgrade(
    database: Database,
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="VERSION", help="The schema version; by default the one needed.")
    ] = "head",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Only do the long part of adopting a big table, while its writers go on."
        ),
    ] = False,
) -> None:
    """Upgrade the database's schema to the version that this package needs."""
    from boocode_sessions import migrations
    from boocode_sessions.status import schema_status

    if sql:
        script = migrations.upgrade_script(database.engine.dialect.name, to, schema=database.schema)
        screen_of().write((script.rstrip("\n"), ""))
        return
    if prepare:
        migrations.prepare(database.engine, schema=database.schema)
        say("Prepared: now run `boocode-sessions upgrade`.")
        return
    before = schema_status(database.engine, schema=database.schema)
    migrations.upgrade(database.engine, to, schema=database.schema)
    after = schema_status(database.engine, schema=database.schema)
    since = "already" if before.found == after.found else "now"
    say(f"{database.shown_url} is at schema version {after.found} {since}.")


@over_database("status", panel=Panel.set_up)
def status(
    database: Database,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Print a line for each look, until Ctrl-C.")
    ] = False,
    every_seconds: Annotated[
        float, typer.Option("--every", min=0.1, metavar="SECONDS", help="How often to look.")
    ] = 2.0,
    json: JsonOption = False,
) -> None:
    """Show the database, its schema version, counts, sizes, and summaries that are behind.

    The exit status is 2 if this package can't use the schema.
    """
    from boocode_sessions.status import holdings, schema_status, schemas_with_tables

    stands = schema_status(database.reading, schema=database.schema)
    ready = stands.compatible
    holds = holdings(database.reading, schema=database.schema) if ready else None
    if watch and ready:
        from boocode_sessions.cli.watching import watch_holdings

        watch_holdings(database, every_seconds, as_json=json)
        return
    if json:
        url = {"url": database.shown_url, "schema": database.schema}
        print_json(url | asdict(stands) | {"holds": asdict(holds) if holds else None})
    else:
        _print_status(database, stands, holds)
    if not ready:
        elsewhere = schemas_with_tables(database.reading) if stands.found is None else []
        raise BadInput(_advice(stands, database.schema, elsewhere))


@over_database("distribute", panel=Panel.set_up)
def distribute(
    database: Database,
    *,
    shards: Annotated[
        int,
        typer.Option("--shards", min=1, metavar="N", help="How many shards to spread the projects over."),
    ] = 32,
    online: Annotated[
        bool, typer.Option("--online", help="Copy while writers go on; needs wal_level = logical.")
    ] = False,
) -> None:
    """Spread the tables over the servers of a Citus cluster, with each project on one of them.

    It can be stopped and run again. `status` shows the shards.
    """
    from boocode_sessions import migrations

    migrations.distribute(
        database.engine, shard_count=shards, online=online, schema=database.schema, progress=say
    )
    say("The tables are distributed: see `boocode-sessions status`.")


@over_database("adopt", panel=Panel.set_up)
def adopt(
    database: Database,
    *,
    source: Annotated[
        str, typer.Option("--source", metavar="TABLE", help="The reference adapter's table.")
    ] = "claude_session_store",
    source_schema: Annotated[
        str | None, typer.Option("--source-schema", metavar="NAME", help="Its PostgreSQL schema.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Copy the table of the Python SDK's reference adapter from the same PostgreSQL database.

    It can be stopped and run again: nothing is copied twice. A transcript that has gone on here is reported
    and not completed; the exit status is then 1.
    """
    from boocode_sessions.adoption import adopt as run

    with progress("Adopting", "rows") as show:
        done = run(
            database.engine,
            source=source,
            source_schema=source_schema,
            **database.access,
            progress=lambda at: show(at.done, at.total),
        )
    for transcript in done.left:
        say(f"not completed, since it has gone on here: {transcript}")
    if json:
        print_json(asdict(done) | {"left": [transcript.key for transcript in done.left]})
    else:
        typer.echo(f"{count(done.copied, 'entry')} copied, {done.known:,} known before")
    if done.left:
        raise typer.Exit(1)


@over_database("backfill", panel=Panel.set_up)
def backfill(database: Database, json: JsonOption = False) -> None:
    """Place other writers' rows, and fold the summaries that are missing or behind.

    Listings are quick afterwards. It can be stopped and run again. Summaries need the `sdk` extra.
    """
    from boocode_sessions._core import fold
    from boocode_sessions.adoption import backfill as run

    with progress("Placing", "rows") as show:
        done = run(database.engine, **database.access, progress=lambda at: show(at.done, at.total))
    if json:
        print_json(asdict(done))
    else:
        typer.echo(f"{count(done.placed, 'entry')} placed, {count(done.folded, 'session')} folded")
    if not fold.available():
        say("Summaries were not folded: install boocode-sessions[sdk], and run this again.")


@app.command("host-revision", cls=Command, rich_help_panel=Panel.set_up)
def host_revision(
    ctx: typer.Context,
    *,
    config: Annotated[
        Path, typer.Option("--config", "-c", metavar="FILE", help="Your application's alembic.ini.")
    ] = Path("alembic.ini"),
    to: Annotated[
        str, typer.Option("--to", metavar="VERSION", help="The schema version that it goes to.")
    ] = "head",
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="The revision's message.")
    ] = None,
    head: Annotated[
        str, typer.Option("--head", metavar="REVISION", help="Your revision that it follows.")
    ] = "head",
    schema: SchemaOption = None,
) -> None:
    """Write a revision into your own Alembic chain that makes our tables."""
    from boocode_sessions.migrations import host
    from boocode_sessions.models import SCHEMA_VERSION

    ini = host.find_ini(config)
    with redirect_stdout(sys.stderr):  # Alembic prints what it does
        path = host.write_revision(
            ini,
            to=SCHEMA_VERSION if to == "head" else to,
            schema=schema or (ctx.find_object(Where) or Where()).schema,
            message=message,
            head=head,
        )
    typer.echo(str(path))
    is_flask = "flask_migrate" in ini.read_text(encoding="utf-8")
    say(f"Now run your own `{'flask db upgrade' if is_flask else 'alembic upgrade head'}`.")


def _print_status(database: Database, stands: "SchemaStatus", holds: "Holdings | None") -> None:
    rows: list[tuple[str, object]] = [
        ("database", database.shown_url),
        ("server", stands.database),
        ("schema version", stands.found or "none"),
    ]
    if database.schema:
        rows.insert(1, ("schema", database.schema))
    if stands.pending:
        rows.append(("pending", ", ".join(stands.pending)))
    if holds is not None:
        rows += [
            ("projects", holds.projects),
            ("sessions", holds.sessions),
            ("held", holds.held),
            ("transcripts", holds.transcripts),
            ("entries", holds.entries),
            ("unplaced", holds.unplaced),
            ("stale summaries", holds.stale_summaries),
            ("behind", holds.behind),
            ("size", size(holds.bytes)),
            ("first entry", holds.oldest),
            ("last entry", holds.newest),
        ]
    if holds is not None and holds.shards is not None:
        rows.append(("shards", f"{holds.shards} on {count(holds.nodes or 0, 'server')}"))
    terminal = screen_of()
    for name, value in rows:
        terminal.write((f"{name:<16}", "dim"), (one_line(shown(value)) or "-", ""))
    if holds is not None and holds.stale_summaries:
        say("`boocode-sessions backfill` folds the stale summaries, so that listings are quick.")
        say("It needs the SDK: boocode-sessions[sdk].")


def _advice(stands: "SchemaStatus", schema: str | None, elsewhere: "Sequence[str]" = ()) -> str:
    if not stands.pending:
        return f"a newer version made schema {stands.found}: upgrade the boocode-sessions package"
    command = "boocode-sessions upgrade" + (f" --schema {schema}" if schema else "")
    what = "has no tables of ours" if stands.found is None else f"needs schema version {stands.needed}"
    named = " or ".join(f"`--schema {shlex.quote(name)}`" for name in elsewhere)
    return f"the database {what}: run `{command}`" + (f", or give {named}, where they are" if named else "")
