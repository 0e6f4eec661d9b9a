"""A tenant's project keys, and the setting that tells PostgreSQL's row-level security who the tenant is.

The tenant is part of the stored project key: `tenant:acme/-home-me-app`. So it is part of every key, index
and lock, and applications without tenants pay nothing. See docs/decisions/tenants.md.
"""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection, bindparam, func, select

from boocode_sessions._core.keys import KeyLike, Transcript, session_of, text_part
from boocode_sessions.errors import InvalidKeyError

TENANT_OPTION = "boocode_sessions_tenant"
"""An Engine's execution option: everything over that engine is done for this tenant."""

TENANT_SETTING = "boocode_sessions.tenant"
"""PostgreSQL's setting: the prefix of the project keys that a transaction may see and write."""

_SET_TENANT = select(func.set_config(bindparam("setting"), bindparam("prefix"), True))


def set_tenant(connection: Connection, tenant: str | None) -> None:
    """Tell PostgreSQL which tenant a transaction works for, until it ends."""
    if tenant is not None and connection.dialect.name == "postgresql":
        connection.execute(_SET_TENANT, {"setting": TENANT_SETTING, "prefix": prefix_of(tenant)})


def check_tenant(tenant: str | None) -> str | None:
    """Return a tenant's name if it is valid. Raises InvalidKeyError."""
    if tenant is not None and "/" in text_part("tenant", tenant):
        raise InvalidKeyError("a tenant's name holds no slash")
    return tenant


def prefix_of(tenant: str) -> str:
    """Return the prefix of all stored project keys of a tenant. No other tenant's keys have it."""
    return f"tenant:{tenant}/"


def stored_project(tenant: str | None, project_key: str) -> str:
    """Return the project key to store. An invalid key stays as it is; key checks refuse it later."""
    given: object = project_key
    if tenant is None or not isinstance(given, str) or not given:  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        return project_key
    return prefix_of(tenant) + given


def stored_transcript(tenant: str, transcript: Transcript) -> Transcript:
    """Like `stored_project`, for a transcript."""
    return transcript._replace(project_key=stored_project(tenant, transcript.project_key))


def given_transcript(tenant: str | None, transcript: Transcript) -> Transcript:
    """Return a tenant's stored transcript without the tenant."""
    return transcript._replace(project_key=given_project(tenant, transcript.project_key))


def given_project(tenant: str | None, project_key: str) -> str:
    """Return a tenant's stored project key without the tenant."""
    return project_key if tenant is None else project_key.removeprefix(prefix_of(tenant))


def stored_key(tenant: str | None, key: KeyLike) -> KeyLike:
    """Like `stored_project`, for a key. Raises InvalidKeyError."""
    if tenant is None:
        return key
    given = cast("Mapping[str, Any]", key)
    return {**given, "project_key": stored_project(tenant, session_of(key).project_key)}
