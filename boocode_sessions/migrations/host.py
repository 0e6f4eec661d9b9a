"""Runs our versions as steps of a host's own Alembic chain, so that the chain keeps its one head.

`write_revision` writes a revision like this into the host's chain:

    from boocode_sessions import migrations

    def upgrade() -> None:
        migrations.host.upgrade(to="0001")

    def downgrade() -> None:
        migrations.host.downgrade(to="base")
"""

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boocode_sessions._core.arguments import checked
from boocode_sessions.engine import check_dialect
from boocode_sessions.errors import SchemaError
from boocode_sessions.migrations.target import effective_schema, targeting
from boocode_sessions.models import SCHEMA_VERSION

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_CALL = re.compile(r"migrations\.host\.upgrade\(\s*(?:to\s*=\s*)?[\"'](\w+)[\"']")


@checked
def upgrade(to: str, *, schema: str | None = None, since: str | None = None) -> None:
    """Upgrade the schema to a version, inside a revision of the host.

    It runs in the host's transaction over the host's connection, and records the version in our own table. It
    does nothing if the schema has that version or a later one, whichever way it got there.

    Args:
        to: The version.
        schema: The schema for the tables, if the connection's search path does not lead to it.
        since: Only for scripts (`alembic upgrade --sql`), which can't look it up: the version that the schema
            has before, if that is not the one before `to`.

    Raises:
        SessionStoreError: The schema can't be upgraded.
    """
    _walk(to, schema, since, upwards=True)


@checked
def downgrade(to: str, *, schema: str | None = None, since: str | None = None) -> None:
    """Downgrade the schema to a version, inside a revision of the host.

    Args:
        to: The version; `base` drops the tables.
        schema: The schema of the tables, if the connection's search path does not lead to it.
        since: Only for scripts: the version that the schema has before, if that is not the one after `to`.

    Raises:
        SessionStoreError: The schema can't be downgraded.
    """
    _walk(to, schema, since, upwards=False)


def write_revision(
    host: "Config | str | Path" = "alembic.ini",
    *,
    to: str = SCHEMA_VERSION,
    schema: str | None = None,
    message: str | None = None,
    head: str = "head",
) -> Path:
    """Write a revision into a host's chain that brings our schema to a version. Returns its path.

    It reads the chain to find the version that an earlier revision went to.

    Args:
        host: The path of the host's alembic.ini, or its Config. If there is no such file, it looks for
            Flask-Migrate's in `migrations/`.
        to: The version.
        schema: The schema for the tables, if the connection's search path does not lead to it.
        message: The revision's message. The default names the version.
        head: The revision that the new one follows.

    Raises:
        SchemaError: The version is unknown, or the chain takes no such revision.
    """
    from alembic.config import Config  # noqa: PLC0415 - slow, and needed nowhere else
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    from boocode_sessions.migrations import chain  # noqa: PLC0415

    if isinstance(host, str | Path):
        ini = find_ini(host)
        host = Config(ini)
        if host.get_main_option("script_location") is None:  # Flask-Migrate sets it when it runs
            host.set_main_option("script_location", str(ini.parent).replace("%", "%%"))
    elif not isinstance(host, Config):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise TypeError(f"host is the path of an alembic.ini or its Config, not {type(host).__name__}")
    known = [version.revision for version in chain.versions()]
    if to not in known:
        raise SchemaError(f"there is no version {to!r}: {', '.join(known)} are known")
    try:
        scripts = ScriptDirectory.from_config(host)
        since = _version_reached(scripts)
        if since != "base" and since >= to:
            raise SchemaError(f"the application's chain goes to version {since} already")
        written = scripts.generate_revision(
            uuid.uuid4().hex[-12:],
            message or f"claude sessions {to}",
            head=head,
            imports="from boocode_sessions import migrations",
            upgrades=_call("upgrade", to, since, schema, known),
            downgrades=_call("downgrade", since, to, schema, known),
        )
    except CommandError as error:
        raise SchemaError(f"the application's chain takes no revision: {error}") from error
    if written is None:
        raise SchemaError("the application's chain took no revision")
    return Path(written.path)


def find_ini(given: str | Path) -> Path:
    """Return the given alembic.ini, or Flask-Migrate's in `migrations/` beside it. Raises SchemaError."""
    for path in (Path(given), Path(given).parent / "migrations" / Path(given).name):
        if path.is_file():
            return path
    raise SchemaError(f"there is no {given}: name the alembic.ini of the application")


def _version_reached(scripts: "ScriptDirectory") -> str:
    for script in scripts.walk_revisions():
        calls: list[str] = _CALL.findall(Path(script.path).read_text(encoding="utf-8"))
        if calls:
            return max(calls)
    return "base"


def _call(verb: str, to: str, since: str, schema: str | None, known: list[str]) -> str:
    places = ["base", *known]
    arguments = [f'to="{to}"']
    if abs(places.index(to) - places.index(since)) != 1:
        arguments.append(f'since="{since}"')
    if schema:
        arguments.append(f"schema={schema!r}")
    return f"migrations.host.{verb}({', '.join(arguments)})"


def _walk(to: str, schema: str | None, since: str | None, *, upwards: bool) -> None:
    from boocode_sessions.migrations import chain  # noqa: PLC0415 - imports Alembic

    versions = chain.versions()
    places = ["base", *(version.revision for version in versions)]
    if to not in places:
        hint = (
            ": a revision names the version it goes to, so that it always does the same"
            if to == "head"
            else ""
        )
        raise SchemaError(f"there is no version {to!r}, {', '.join(places)} are known{hint}")
    target = places.index(to)
    context = chain.running()
    if context is None:
        raise SchemaError("not inside a revision: call migrations.upgrade(bind) instead")
    check_dialect(context.dialect.name)
    if context.as_sql:
        start = places.index(since) if since else target + (-1 if upwards else 1)
    else:
        connection: Any = context.connection
        there = effective_schema(connection, schema)
        found = chain.version(connection, there, downwards=not upwards) or "base"
        # An unknown version is one of a newer package that this one works with.
        start = places.index(found) if found in places else len(places)
    with targeting(schema):
        if upwards:
            for version in versions[start:target]:
                version.module.upgrade()
        else:
            for version in versions[target:start][::-1]:
                version.module.downgrade()
