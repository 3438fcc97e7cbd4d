"""Runs the application until a signal, and shuts it down in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import structlog
from aiohttp import web

from processor.stores.config import AwsCredentials
from service.app import create_app, create_metrics_app
from service.config import Settings
from service.http.connections import CONNECTION_TIMEOUTS
from service.http.protocol import ApiRunner
from service.lifespan import lifespan
from service.machine import memory_limit_bytes
from service.observe.health import DRAINING
from service.observe.lag import watch_loop
from service.observe.metrics import METRICS

#: How long the loop waits for a thread that has the interpreter. Python's own 5 ms come again at every step of a call.
SWITCH_SECONDS = 0.001

log = structlog.get_logger(__name__)


class CannotListen(Exception):
    """An address or a port cannot be had; the message names the variable that chooses another."""


#: Told the base URL once the service answers.
OnReady = Callable[[str], None]


async def run(
    settings: Settings,
    *,
    credentials: AwsCredentials | None = None,
    local_viewer: bool = False,
    on_ready: OnReady | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, then shut down; the process's exit code.

    Raises `CannotListen`; `SettingsError` when the container's memory is too small for the settings.

    The order of the shutdown: readiness becomes false, and the worker stops receiving and drains. Requests are still
    answered, each as the last of its connection, until the load balancers have noticed. The sockets stop accepting,
    running handlers finish, the engine joins, the clients close. A second signal ends the process at once. Nothing is
    lost by that: the messages in work return to the queue when their visibility timeout ends.
    """
    settings = _within_memory(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = asyncio.Event()
    _obey_signals(stop)
    app = create_app(settings, local_viewer=local_viewer)
    app.cleanup_ctx.append(lifespan(credentials))
    async with AsyncExitStack() as stack:
        # The metrics tell of the whole shutdown, so they go last.
        if settings.metrics_port is not None:
            metrics = web.AppRunner(create_metrics_app(app[METRICS]), access_log=None, handle_signals=False)
            stack.push_async_callback(metrics.cleanup)
            address = await _listen(metrics, settings.host, settings.metrics_port, "METRICS_PORT")
            log.info("Metrics served", url=f"{address}/metrics")
        runner = ApiRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=settings.http_timeout_seconds,
            keepalive_timeout=settings.keepalive_seconds,
        )
        stack.push_async_callback(runner.cleanup)
        watch = asyncio.create_task(
            app[CONNECTION_TIMEOUTS].watch(lambda: runner.server.connections if runner.server else ())
        )
        stack.callback(watch.cancel)
        stack.callback(asyncio.create_task(watch_loop(app[METRICS].late)).cancel)
        address = await _listen(runner, settings.host, settings.port, "PORT")
        _keep_what_is_there()
        log.info(
            "Service started",
            url=address,
            stage=settings.stage,
            roles=sorted(settings.roles),
            **_machine(settings),
        )
        if on_ready is not None:
            on_ready(address)
        await stop.wait()
        log.info("Service stopping")
        app[DRAINING].set()
        await asyncio.sleep(settings.stop_delay_seconds)
    log.info("Service stopped")
    return 0


def _keep_what_is_there() -> None:
    """Exclude the objects of the start from garbage collection, like the imports (`cli.start`). They live until the
    end. The collector would scan them again and again, and block the loop each time: a tenth of a second for 160,000
    objects."""
    gc.collect()
    gc.freeze()


def _within_memory(settings: Settings) -> Settings:
    """Lower a memory budget that exceeds the container. Otherwise the container would be killed with all its work."""
    limit = memory_limit_bytes()
    within = settings.affordable(limit)
    if within.memory_budget_bytes < settings.memory_budget_bytes:
        log.warning(
            "Memory budget lowered to what the container's limit leaves",
            configured=settings.memory_budget_bytes,
            lowered=within.memory_budget_bytes,
            limit=limit,
        )
    return within


def _machine(settings: Settings) -> dict[str, int | None]:
    """The limits of this process, for the log; nothing if it converts nothing."""
    if not settings.converts:
        return {}
    return {
        "threads": settings.worker_threads,
        "memoryBudget": settings.memory_budget_bytes,
        "memoryLimit": memory_limit_bytes(),
    }


def _obey_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def obey(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, obey, number)


async def _listen(runner: web.AppRunner, host: str, port: int, variable: str) -> str:
    """Begin to serve; the base URL, which tells the port when that was 0."""
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        # Newer releases of Python tell of an address that is not this machine's without its number.
        number = errno.EADDRNOTAVAIL if error.errno is None else error.errno
        wrong = "HOST" if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL else variable
        why = os.strerror(number) if number > 0 else str(error.strerror or error)
        raise CannotListen(
            f"cannot listen on {host}:{port} ({why[0].lower() + why[1:]}): choose another with {wrong}=."
        ) from None
    address, bound = runner.addresses[0][:2]
    return f"http://{address}:{bound}"
