"""A host in a separate process, to be killed: `python -m tests.agents.host`.

Reads {"url", "cwd", "env", "prompts": [[chat id, prompt], ...]} from stdin. Sends each chat's prompts in
order, all chats at once, and prints [chat id, prompt] for each stored turn.
"""

import json
import sys
from collections import defaultdict
from typing import Any

import anyio
from claude_agent_sdk import ClaudeAgentOptions

from boocode_sessions.agents import AgentStartError, ChatHeldError, ClaudeSdkBackend, Limits, TurnEnded
from boocode_sessions.engine import create_engine


async def _main(order: dict[str, Any]) -> None:
    options = ClaudeAgentOptions(
        cwd=order["cwd"], env=order["env"], permission_mode="bypassPermissions", setting_sources=[]
    )
    chats: dict[str, list[str]] = defaultdict(list)
    for chat, prompt in order["prompts"]:
        chats[chat].append(prompt)
    engine = create_engine(order["url"])
    limits = Limits(max_warm=order.get("max_warm", 4), lease_seconds=order.get("lease_seconds", 2))

    async def talk(chat: str, prompts: list[str]) -> None:
        for prompt in prompts:
            while not await is_stored(chat, prompt):  # noqa: ASYNC110 - a lease sets no event
                await anyio.sleep(0.2)

    async def is_stored(chat: str, prompt: str) -> bool:
        try:
            async for event in backend.send(chat, prompt):
                if isinstance(event, TurnEnded) and event.stored and event.reason == "completed":
                    sys.stdout.write(json.dumps([chat, prompt]) + "\n")
                    sys.stdout.flush()
                    return True
        except (ChatHeldError, AgentStartError):  # held by a host that has died; or the agent was killed
            pass
        return False

    async with (
        ClaudeSdkBackend(engine, options, limits=limits) as backend,
        anyio.create_task_group() as group,
    ):
        for chat, prompts in chats.items():
            group.start_soon(talk, chat, prompts)
    engine.dispose()


if __name__ == "__main__":
    anyio.run(_main, json.loads(sys.stdin.readline()))
