"""Starts agent processes: resumed from the store, or in a new session."""

import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, project_key_for_directory

from boocode_sessions.agents.accounts import Accounts
from boocode_sessions.agents.errors import AgentError, SessionDamagedError, SessionUnknownError
from boocode_sessions.agents.process import AgentProcess, CanUseTool
from boocode_sessions.agents.services import Services
from boocode_sessions.agents.store import FencedStore
from boocode_sessions.agents.writer import Lease


class Starter:
    """Starts the processes of one chat's agent."""

    def __init__(
        self, services: Services, accounts: Accounts, can_use_tool: CanUseTool, chat_id: str, agent: str
    ) -> None:
        self._services = services
        self._accounts = accounts
        self._can_use_tool = can_use_tool
        self._chat_id, self._agent = chat_id, agent

    def options(self) -> ClaudeAgentOptions:
        """Return the host's options with the changes made since."""
        return replace(self._services.options_for(self._chat_id, self._agent), **self._overrides)

    @property
    def _overrides(self) -> dict[str, Any]:
        return self._services.overrides.get((self._chat_id, self._agent), {})

    def project_key(self, options: ClaudeAgentOptions) -> str:
        """Return the project key that the chat's sessions are stored under. Raises InvalidKeyError."""
        services = self._services
        scoped = services.project_key_of(self._chat_id, project_key_for_directory(options.cwd))
        return services.store.project_key(scoped)

    async def start(self, lease: Lease, options: ClaudeAgentOptions) -> AgentProcess:
        """Start a process in the chat's session. Raises AgentError or SessionStoreError."""
        if await self._accounts.is_stored(lease):
            try:
                return await self._started(lease, replace(options, resume=lease.session_id))
            except SessionDamagedError:
                if not self._services.start_afresh:
                    raise
        elif lease.turns and not self._services.start_afresh:
            raise SessionUnknownError(
                f"{lease} goes on in session {lease.session_id}, of which the store has nothing: import it "
                "with `boocode-sessions import`; with start_afresh=True the chat goes on in a new session"
            )
        if not lease.is_new:  # an agent may have begun a file of that name before it died
            await self._accounts.move(lease, str(uuid.uuid4()))
        return await self._started(lease, replace(options, session_id=lease.session_id))

    async def _started(self, lease: Lease, options: ClaudeAgentOptions) -> AgentProcess:
        services = self._services
        store = FencedStore(
            services.store,
            services.database,
            services.writer,
            services.fence,
            lease,
            folder=project_key_for_directory(options.cwd),
            project_key=partial(services.project_key_of, self._chat_id),
            schema=services.schema,
        )
        process = AgentProcess(options, store, self._can_use_tool, services.guard)
        await process.start(services.limits.start_seconds)
        return process

    async def apply_overrides(self, process: AgentProcess, options: ClaudeAgentOptions) -> None:
        """Apply to a process the changes that were made while it started."""
        wanted = replace(options, **self._overrides)
        with suppress(AgentError):  # the agent then continues as before
            if wanted.model != options.model:
                await process.set_model(wanted.model)
            if wanted.permission_mode != options.permission_mode and wanted.permission_mode is not None:
                await process.set_permission_mode(wanted.permission_mode)
