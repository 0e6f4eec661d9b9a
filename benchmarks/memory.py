"""One load in a separate process: `python -m benchmarks.memory REQUEST` prints its peak in bytes."""

import asyncio
import importlib
import json
import sys
from pathlib import Path

from benchmarks.entries import transcript
from benchmarks.server import Address


def resident(field: str) -> int:
    """Return bytes of resident memory: `VmRSS` now, `VmHWM` at the peak since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def forget_peak() -> None:
    """Reset the peak (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


async def main(request: dict[str, str]) -> None:
    """Warm up on a short session, then load the long one."""
    peer = getattr(importlib.import_module(request["module"]), request["name"])()
    await peer.open(Address(request["host"], int(request["port"]), request["database"]))
    for entry in transcript(1, 20):
        await peer.append("short", [entry])
    await peer.load("short")
    forget_peak()
    before = resident("VmRSS")
    await peer.load("long")
    print(resident("VmHWM") - before)
    await peer.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
