"""Reading a whole transcript with `load` and with `iterate`."""

import asyncio
import json
import sys
import time
from typing import ClassVar

from benchmarks.bench import Bench
from benchmarks.entries import transcript
from benchmarks.measure import Figure, Line
from benchmarks.memory import forget_peak, resident
from benchmarks.peers import PROJECT
from benchmarks.peers.ours import OursAsync
from benchmarks.server import Address
from boocode_sessions.streaming import iterate_async


class _Streamed(OursAsync):
    """`iterate_async` instead of `load`."""

    label: ClassVar[str] = "boocode_sessions, iterate_async"

    async def load(self, session: str) -> None:
        count = 0
        async for _ in iterate_async(self._engine, {"project_key": PROJECT, "session_id": session}):
            count += 1
        assert count


async def streaming(bench: Bench) -> list[Line]:
    """Measure time and memory over 1 GB."""
    megabytes = bench.pick(1000, 100)
    batch = transcript(5, 3000)
    size = sum(len(json.dumps(entry)) for entry in batch) / 1e6
    async with bench.peers((OursAsync,)) as peers:
        (store,) = peers.values()
        for number in range(round(megabytes / size)):
            fresh = [{**entry, "uuid": f"{number}.{at}"} for at, entry in enumerate(batch)]
            await store.write_long("long", fresh)
        bench.server.settle()
        taken = [await _run(bench, kind) for kind in ("OursAsync", "_Streamed")]
    title = f"a transcript of {megabytes:,} MB from end to end"
    load, stream = OursAsync.label + ", load", _Streamed.label
    seconds = [Figure(label, [found["seconds"]]) for label, found in zip((load, stream), taken, strict=True)]
    memory = [Figure(label, [found["bytes"]]) for label, found in zip((load, stream), taken, strict=True)]
    return [
        Line(title, "s", seconds, load, scale=1),
        Line(f"{title}, peak memory", "MB", memory, load, scale=1e-6),
    ]


async def _run(bench: Bench, kind: str) -> dict[str, float]:
    at = json.dumps({"kind": kind, **vars(bench.server.at("bench_oursasync"))})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, at, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    found: dict[str, float] = json.loads(out)
    return found


async def _main(request: dict[str, str]) -> None:
    store = {"OursAsync": OursAsync, "_Streamed": _Streamed}[request["kind"]]()
    await store.open(Address(request["host"], int(request["port"]), request["database"]))
    await store.list_sessions()
    forget_peak()
    before, start = resident("VmRSS"), time.perf_counter()
    await store.load("long")
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "bytes": resident("VmHWM") - before}))
    await store.close()


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
