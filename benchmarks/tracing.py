"""Measures the cost of traces: CPU per request and per image, in a process with traces and in one without.

    python -m benchmarks.tracing [--requests 400] [--images 10] [--rounds 3]

Two processes with one local AWS take turns, so that a disturbance affects both. The one with traces sends everything to
a collector that drops it. The ratio is the median of the rounds. Without traces, a log line only reads one context
variable; the time for that is printed too.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import timeit
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.cpu_per_megapixel import drawn, machine, sides
from benchmarks.end_to_end import cpu_seconds
from processor.probe import TRACE, Position
from tests.fleet import ServiceProcess, run_service, run_stage

#: Size of the photograph.
MEGAPIXELS = 2.0
#: Requests and images for warming up, which are not counted.
WARM_UP = 20, 1


async def measure(requests: int, images: int, rounds: int) -> list[str]:
    """The lines of the report."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_stage(Path(folder, "aws")) as stage, aiohttp.ClientSession() as session:
            collector = await _collector()
            endpoint = f"http://127.0.0.1:{collector.addresses[0][1]}"
            traced: dict[str, Any] = {"TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
            found: dict[str, list[tuple[float, float]]] = {"off": [], "on": []}
            for _ in range(rounds):
                for name, variables in (("off", {}), ("on", traced)):
                    log_file = Path(folder, "service.log")
                    async with run_service(stage, session, log_file, LOG_LEVEL="error", **variables) as service:
                        found[name].append(await _round(service, requests, images))
            await collector.cleanup()
    return [_line(what, found["off"], found["on"], at) for at, what in enumerate(("request", "image"))]


async def _round(service: ServiceProcess, requests: int, images: int) -> tuple[float, float]:
    """CPU seconds per request and per image."""
    picture = drawn(*sides(MEGAPIXELS))
    first = await service.put(picture)
    await service.settled(first["processingId"])

    async def ask() -> None:
        await service.call("GET", f"/images/status/{first['processingId']}")

    async def convert() -> None:
        issued = await service.put(picture)
        await service.settled(issued["processingId"])

    return await _each(service, ask, WARM_UP[0], requests), await _each(service, convert, WARM_UP[1], images)


async def _each(service: ServiceProcess, call: Callable[[], Awaitable[None]], warm_up: int, times: int) -> float:
    assert service.process is not None
    for _ in range(warm_up):
        await call()
    before = cpu_seconds(service.process.pid)
    for _ in range(times):
        await call()
    return (cpu_seconds(service.process.pid) - before) / times


async def _collector() -> web.AppRunner:
    async def forget(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", forget)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def _line(what: str, off: list[tuple[float, float]], on: list[tuple[float, float]], at: int) -> str:
    ratio = median(traced[at] / plain[at] for traced, plain in zip(on, off, strict=True))
    plain, traced = (median(each[at] for each in some) * 1000 for some in (off, on))
    return f"{what:8} {plain:9.2f} {traced:9.2f} {ratio:6.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{machine()}; CPU milliseconds, {options.rounds} rounds")
    print(f"{'':8} {'off':>9} {'on':>9} {'ratio':>6}")
    print("\n".join(asyncio.run(measure(options.requests, options.images, options.rounds))))
    nanoseconds = timeit.timeit(lambda: Position.read(TRACE.get()), number=100_000) / 100_000 * 1e9
    print(f"while it is off: {nanoseconds:.0f} ns a log line")


if __name__ == "__main__":
    main()
