"""Row-level security policies, with which PostgreSQL shows a transaction only the rows of one tenant.

They are not part of a schema version: most stores have no tenants, and a policy costs every statement a
little.
"""

import sqlalchemy as sa

from boocode_sessions._core.distributed import is_distributed
from boocode_sessions._core.tenants import TENANT_SETTING
from boocode_sessions.errors import UnsupportedBindError
from boocode_sessions.migrations import adopting, agent_sessions
from boocode_sessions.migrations.target import effective_schema
from boocode_sessions.models import (
    ClaudeSession,
    ClaudeSessionEntry,
    SessionCall,
    SessionDigest,
    SessionText,
    SessionToolUse,
)

POLICY = "boocode_sessions_tenant"
# A pooled connection may keep an empty setting from earlier use. It counts as none: NULL shows no row.
_OWN = f"starts_with(project_key, (SELECT nullif(current_setting('{TENANT_SETTING}', true), '')))"
"""The condition for rows that a transaction may see and write."""
_TABLES = (
    *(model.__tablename__ for model in (ClaudeSessionEntry, ClaudeSession)),
    *(model.__tablename__ for model in (SessionDigest, SessionCall, SessionToolUse, SessionText)),
    agent_sessions.TABLE,
)


def protect(connection: sa.Connection, given_schema: str | None, role: str | None) -> None:
    """Replace the policies. They apply to the tables' owner too."""
    _check_dialect(connection, "protect_tenants")
    if is_distributed(connection):
        raise UnsupportedBindError(
            "protect_tenants: Citus can't keep tenants apart: its workers don't learn the tenant that a "
            "transaction names; tenant= of a store or repository works there too"
        )
    where = effective_schema(connection, given_schema)
    to = "PUBLIC" if role is None else connection.dialect.identifier_preparer.quote_identifier(role)
    for name in _TABLES:
        table = adopting.quoted(where, name)
        for statement in (
            f"DROP POLICY IF EXISTS {POLICY} ON {table}",
            f"CREATE POLICY {POLICY} ON {table} TO {to} USING ({_OWN}) WITH CHECK ({_OWN})",
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        ):
            connection.execute(sa.text(statement))


def unprotect(connection: sa.Connection, given_schema: str | None) -> None:
    _check_dialect(connection, "unprotect_tenants")
    where = effective_schema(connection, given_schema)
    for name in _TABLES:
        table = adopting.quoted(where, name)
        for statement in (
            f"DROP POLICY IF EXISTS {POLICY} ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ):
            connection.execute(sa.text(statement))


def are_protected(connection: sa.Connection, given_schema: str | None) -> bool:
    """True if `protect` has been called."""
    where = adopting.quoted(effective_schema(connection, given_schema), ClaudeSessionEntry.__tablename__)
    known = sa.text("SELECT 1 FROM pg_policy WHERE polname = :name AND polrelid = to_regclass(:table)")
    return connection.execute(known, {"name": POLICY, "table": where}).first() is not None


def _check_dialect(connection: sa.Connection, function: str) -> None:
    if connection.dialect.name != "postgresql":
        raise UnsupportedBindError(
            f"{function}: only PostgreSQL can keep tenants apart, not {connection.dialect.name}; "
            "tenant= of a store or repository works on every database"
        )
