"""Row-level security: PostgreSQL itself shows a transaction the rows of one tenant only.

Not part of a version: most stores have no tenants, and a policy costs every statement a little.
"""

import sqlalchemy as sa

from boocode_sessions._core.tenants import TENANT_SETTING
from boocode_sessions.migrations import adopting
from boocode_sessions.migrations.target import effective_schema
from boocode_sessions.models import ClaudeSession, ClaudeSessionEntry

POLICY = "boocode_sessions_tenant"
_TABLES = (ClaudeSessionEntry.__tablename__, ClaudeSession.__tablename__)
# An empty setting, which a pooled connection may keep from an earlier one, is none: NULL shows no row.
_OWN = f"starts_with(project_key, (SELECT nullif(current_setting('{TENANT_SETTING}', true), '')))"


def protect(connection: sa.Connection, given_schema: str | None, role: str | None) -> None:
    """Make the policies anew, for the tables' owner too."""
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
            connection.exec_driver_sql(statement)


def unprotect(connection: sa.Connection, given_schema: str | None) -> None:
    """Remove the policies."""
    where = effective_schema(connection, given_schema)
    for name in _TABLES:
        table = adopting.quoted(where, name)
        for statement in (
            f"DROP POLICY IF EXISTS {POLICY} ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ):
            connection.exec_driver_sql(statement)
