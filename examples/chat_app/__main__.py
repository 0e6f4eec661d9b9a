"""Serve the chats on loopback: `python -m examples.chat_app`, or `make chat`."""

import os
from contextlib import ExitStack
from pathlib import Path

import uvicorn
from claude_agent_sdk import ClaudeAgentOptions

from boocode_sessions.engine import create_engine
from examples.chat_app.app import create_app
from examples.chat_app.demo_model import demo_model


def main() -> None:
    """Serve until Ctrl-C."""
    folder = Path(os.environ.get("CHAT_FOLDER", ".chat")).resolve()
    work = folder / "work"  # the agents' working folder
    work.mkdir(parents=True, exist_ok=True)
    engine = create_engine(os.environ.get("DATABASE_URL", f"sqlite:///{folder}/chats.db"))
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        if "ANTHROPIC_API_KEY" not in os.environ:
            config = folder / "agent"
            environment = {"CLAUDE_CONFIG_DIR": str(config), **stack.enter_context(demo_model())}
            print('No ANTHROPIC_API_KEY is set: a demo model answers. Say "run touch file" to it.')
        port = int(os.environ.get("PORT", "8000"))
        print(f"Chats on http://127.0.0.1:{port}, until Ctrl-C.", flush=True)
        options = ClaudeAgentOptions(cwd=work, env=environment, setting_sources=[])
        uvicorn.run(
            create_app(engine, options),
            port=port,
            log_level="warning" if environment else "info",
            timeout_graceful_shutdown=1,  # the tabs' streams never end by themselves
        )
    engine.dispose()


if __name__ == "__main__":
    main()
