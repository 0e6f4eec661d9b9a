"""One turn of an agent in a separate Python process: `python -m tests.e2e.one_turn`.

Reads the order from `Agent.turn_in_new_process` on stdin, and prints {"session_id": ..., "answer": ...}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import anyio

from tests.e2e.agent import run_turn
from tests.e2e.stores import store_over


async def _main(order: dict[str, Any]) -> None:
    async with store_over(order["engine"], order["url"]) as store:
        turn = await run_turn(order["prompt"], store, Path(order["config"]), order["options"])
    sys.stdout.write(json.dumps({"session_id": turn.session_id, "answer": turn.answer}))


if __name__ == "__main__":
    anyio.run(_main, json.load(sys.stdin))
