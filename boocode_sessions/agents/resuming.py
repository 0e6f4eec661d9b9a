"""Restricts which session an agent may resume, for a host that runs its agents itself."""

from dataclasses import replace
from uuid import UUID

from claude_agent_sdk import ClaudeAgentOptions, list_sessions_from_store, project_key_for_directory

from boocode_sessions._core.arguments import checked
from boocode_sessions.errors import UnknownSessionError


@checked
async def resume_stored(options: ClaudeAgentOptions) -> ClaudeAgentOptions:
    """Return the options changed so that the agent can resume sessions of its store only.

    If the store has nothing to resume, the SDK lets the agent look into its own files below
    CLAUDE_CONFIG_DIR. In a program for many users, those files belong to everybody, whatever the store's
    project key and tenant are: docs/many-users.md. So this function turns `continue_conversation` into a
    `resume` of the store's newest session, or drops it if the store has none. It refuses a `resume` of a
    session that the store lacks.

    Args:
        options: Options with a `session_store` that can list its sessions.

    Raises:
        UnknownSessionError: The store has no session with the id in `resume`.
        ValueError: The options have no `session_store`.
        SessionStoreError: The store's `list_sessions` failed.
    """
    store = options.session_store
    if store is None:
        raise ValueError("the options have no session_store")
    if options.resume is not None:
        listed = await store.list_sessions(project_key_for_directory(options.cwd))
        if not _is_uuid(options.resume) or options.resume not in {one["session_id"] for one in listed}:
            raise UnknownSessionError(f"the store has no session {options.resume!r} to resume")
        return replace(options, continue_conversation=False)
    if not options.continue_conversation:
        return options
    folder = None if options.cwd is None else str(options.cwd)
    newest = await list_sessions_from_store(store, folder, limit=1)
    return replace(options, continue_conversation=False, resume=newest[0].session_id if newest else None)


def _is_uuid(session_id: str) -> bool:
    """Return True if the SDK asks the store for this id. It passes any other name to the agent as it is."""
    try:
        return str(UUID(session_id)) == session_id.lower()
    except ValueError:
        return False
