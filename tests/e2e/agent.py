"""A real agent in its own folders: the executable from the SDK's wheel, with its model on loopback."""

import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

import anyio
import psutil
from claude_agent_sdk import (
    ClaudeAgentOptions,
    Message,
    MirrorErrorMessage,
    ResultMessage,
    SessionKey,
    SessionStore,
    SessionStoreFlushMode,
    project_key_for_directory,
    query,
)

from tests.e2e.messages_api import MessagesAPI
from tests.e2e.stores import EngineKind

ROOT = Path(__file__).parents[2]
TURN_SECONDS = 40
"""Far more than a turn takes (about one), so that only a hang is cut off."""


Prepare = Callable[[ClaudeAgentOptions], Awaitable[ClaudeAgentOptions]]
"""Changes a program's options before a turn."""


class TurnOptions(TypedDict, total=False):
    """The fields of `ClaudeAgentOptions` that the tests vary."""

    resume: str
    continue_conversation: bool
    session_store_flush: SessionStoreFlushMode


@dataclass(frozen=True)
class Turn:
    """The result of one prompt."""

    session_id: str
    answer: str
    config: Path
    """The agent's CLAUDE_CONFIG_DIR. Empty after a resume from a store, because the SDK made another."""
    messages: list[Message] = field(default_factory=list)

    @property
    def mirror_errors(self) -> list[MirrorErrorMessage]:
        """The SDK's messages about failed appends."""
        return [message for message in self.messages if isinstance(message, MirrorErrorMessage)]


class Agent:
    """Runs an agent process per turn, with an empty config folder, so it knows only what a store tells it."""

    def __init__(self, api: MessagesAPI, folder: Path) -> None:
        self.api = api
        self.project = folder / "project"
        self.project.mkdir()
        self._folders = (folder / f"agent-{n}" for n in itertools.count(1))

    @property
    def project_key(self) -> str:
        """The key that the SDK derives from the project's folder."""
        return project_key_for_directory(self.project)

    def key(self, turn: Turn) -> SessionKey:
        """Return the key of a turn's main transcript."""
        return {"project_key": self.project_key, "session_id": turn.session_id}

    async def turn(
        self,
        prompt: str,
        store: SessionStore | None,
        config: Path | None = None,
        prepare: Prepare | None = None,
        **options: Unpack[TurnOptions],
    ) -> Turn:
        """Send a prompt from this process and wait for the end of the turn."""
        config = config or self._empty_config()
        with anyio.fail_after(TURN_SECONDS):
            return await run_turn(prompt, store, config, self._options(config, options), prepare)

    async def turn_in_new_process(
        self, prompt: str, url: str, kind: EngineKind, **options: Unpack[TurnOptions]
    ) -> Turn:
        """Send a prompt from a new Python process, with a store over an engine of `kind` at `url`."""
        config = self._empty_config()
        order = {
            "prompt": prompt,
            "url": url,
            "engine": kind,
            "config": str(config),
            "options": self._options(config, options),
        }
        with anyio.fail_after(TURN_SECONDS):
            done = await anyio.run_process(
                [sys.executable, "-W", "error", "-m", "tests.e2e.one_turn"],
                input=json.dumps(order).encode(),
                cwd=ROOT,
                stderr=None,
            )
        answer = json.loads(done.stdout)
        return Turn(answer["session_id"], answer["answer"], config)

    def environment(self) -> dict[str, str]:
        """Return an environment for this test's model, with a new config folder."""
        return self._environment(self._empty_config())

    def survivors(self) -> Iterator[psutil.Process]:
        """Yield processes in the project's folder: the agent, and whatever its tools started."""
        for process in psutil.process_iter(["cwd"]):
            if process.info["cwd"] == str(self.project.resolve()):
                yield process

    def _empty_config(self) -> Path:
        config = next(self._folders) / "config"
        config.mkdir(parents=True)
        return config

    def _environment(self, config: Path) -> dict[str, str]:
        return {
            "ANTHROPIC_BASE_URL": self.api.url,
            "ANTHROPIC_API_KEY": "sk-none",
            "CLAUDE_CONFIG_DIR": str(config),
            "CLAUDE_CODE_TMPDIR": str(config.parent),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "HOME": str(config.parent),
            "IS_SANDBOX": "1",  # else it refuses to bypass permissions for root
        }

    def _options(self, config: Path, options: TurnOptions) -> dict[str, Any]:
        return {
            "cwd": str(self.project),
            "env": self._environment(config),
            "permission_mode": "bypassPermissions",
            **options,
        }


async def run_turn(
    prompt: str,
    store: SessionStore | None,
    config: Path,
    options: dict[str, Any],
    prepare: Prepare | None = None,
) -> Turn:
    """Send a prompt with these `ClaudeAgentOptions` and read the stream to its end."""
    agent_options = ClaudeAgentOptions(session_store=store, **options)
    if prepare is not None:
        agent_options = await prepare(agent_options)
    messages = [message async for message in query(prompt=prompt, options=agent_options)]
    result = next(message for message in reversed(messages) if isinstance(message, ResultMessage))
    if result.is_error:
        raise AssertionError(f"The turn failed: {result}")
    return Turn(result.session_id, result.result or "", config, messages)
