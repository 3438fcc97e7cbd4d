"""Starts what an application needs before it serves, and stops it afterwards, in reverse."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp
import structlog
from aiohttp import web

from processor.bulk.jobs import BulkJobs
from processor.catalog.feeds import Feeds
from processor.catalog.waiting import Waiting
from processor.errors import Unavailable
from processor.ports.changes import ChangeStore
from processor.ports.renderer import Renderer
from processor.ports.stores import Stores
from processor.stores.clients import AwsClients, open_clients
from processor.stores.config import AwsConfig, AwsCredentials
from processor.stores.role_session import told_by_pod_identity
from processor.stores.secrets import open_secret
from processor.usage import Quota
from service import wiring
from service.auth.api_keys import KEY_STORE
from service.auth.authenticator import AUTHENTICATOR
from service.calls.assets import ASSETS
from service.calls.bulk import BULK
from service.calls.events import FEEDS, as_message, event_body
from service.calls.presets import BACKFILLS, PRESETS, PREVIEWS
from service.calls.reviews import REVIEWS
from service.calls.usage import COSTS
from service.calls.use_cases import CATALOG, LARGE_FILES, STORES, UNSIZED_FILES, UPLOADS, WAITING
from service.calls.viewer import LOCAL_VIEWER
from service.calls.webhooks import WEBHOOKS
from service.config import SETTINGS, Settings, SettingsError
from service.http.cursor import CURSORS, CursorSigner
from service.http.links import KEY_BITS, NoKey
from service.http.rendering import LINKS
from service.http.signing import SecretSigner
from service.idempotency import REPLAYS, STILL_THERE
from service.limits.middleware import QUOTA
from service.machine import memory_limit_bytes
from service.observe.backlog import BacklogWatch
from service.observe.checks import dependency_checks, first_answers, liveness_checks, readiness_checks, worker_checks
from service.observe.health import DRAINING, HEALTH, LIVENESS, READINESS, Health
from service.observe.held import HeldWatch
from service.observe.metrics import METRICS
from service.observe.probes import PROBES
from service.settings.resources import ResourceSettings
from service.webhooks.sender import webhook_session
from service.wiring import UseCases, Work

log = structlog.get_logger(__name__)

Lifespan = Callable[[web.Application], AsyncIterator[None]]


def lifespan(credentials: AwsCredentials | None = None) -> Lifespan:
    """The context in which an application lives; without `credentials` AWS's default chain finds some."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        settings = app[SETTINGS]
        aws = settings.aws(credentials)
        if credentials is None:
            _tell_of_sessions(settings)
        async with AsyncExitStack() as opened:
            clients = await opened.enter_async_context(open_clients(aws, app[PROBES]))
            session = await opened.enter_async_context(open_http(settings.ca_file))
            await opened.enter_async_context(_private_key(app, aws))
            webhooks = wiring.make_webhooks(settings, clients)
            stores = wiring.make_stores(settings, clients, app[METRICS], webhooks)
            quota = wiring.make_quota(settings, clients)
            bulk = wiring.make_bulk_store(settings, clients)
            presets = wiring.make_preset_store(settings, clients)
            use_cases = wiring.make_use_cases(settings, stores, quota, presets)
            work = None
            if settings.converts:
                receivers = await opened.enter_async_context(_open_webhooks(settings))
                render = partial(event_body, public_url=settings.cloudfront_url)
                deliverer = wiring.make_deliverer(
                    settings, webhooks, stores, app[PROBES], session=receivers, render=render
                )
                runner = wiring.make_bulk_runner(settings, stores, bulk, use_cases.catalog, app[PROBES])
                work = wiring.make_work(settings, stores, quota, app[PROBES], bulk=runner, errands=deliverer)
            if settings.serves:
                _put_use_cases(app, stores, quota, use_cases)
                renderer = work.renderers.previews if work else await opened.enter_async_context(_previewing(app))
                app[PREVIEWS] = wiring.make_previews(stores, renderer)
                app[ASSETS] = wiring.make_assets(stores, presets, app[PREVIEWS])
                app[BULK] = BulkJobs(store=bulk)
                app[COSTS] = wiring.make_cost_store(settings, clients)
                app[BACKFILLS] = wiring.make_backfills(stores, app[BULK], use_cases.catalog.choice)
                app[WEBHOOKS] = webhooks
                _put_access(app, clients, session)
                _put_changes(app, wiring.make_changes(settings, clients))
            _put_checks(app, stores, work)
            wiring.tell_build(settings, app[METRICS])
            backlog = wiring.make_backlog_watch(settings, clients, stores, work)
            held = wiring.make_held_watch(stores)
            async with _watching(app, backlog), _watching(app, held), _open_calls(app), _at_work(app, work):
                yield

    return context


@asynccontextmanager
async def _at_work(app: web.Application, work: Work | None) -> AsyncIterator[None]:
    """Run the worker until the process stops; then finish what has begun, while requests are still answered."""
    if work is None:
        yield
        return
    settings = app[SETTINGS]
    app[METRICS].watch(work.worker, work.renderers.engine, work.renderers.room)
    app[METRICS].machine(
        threads=settings.worker_threads,
        memory_budget_bytes=settings.memory_budget_bytes,
        memory_limit_bytes=memory_limit_bytes(),
    )
    work.start()
    draining = app[DRAINING]
    ending = asyncio.create_task(_end_when(draining, work, settings.drain_seconds), name="drain")
    yield
    draining.set()
    await ending


@asynccontextmanager
async def _open_calls(app: web.Application) -> AsyncIterator[None]:
    """Answer who waits as soon as the process is to stop, so that they ask elsewhere."""
    if not app[SETTINGS].serves:
        yield
        return
    ending = asyncio.create_task(_let_go(app), name="open calls")
    yield
    app[DRAINING].set()
    await ending


async def _let_go(app: web.Application) -> None:
    await app[DRAINING].wait()
    app[WAITING].end()
    app[FEEDS].end()


async def _end_when(draining: asyncio.Event, work: Work, seconds: float) -> None:
    await draining.wait()
    await work.end(seconds)


@asynccontextmanager
async def _previewing(app: web.Application) -> AsyncIterator[Renderer]:
    """Previews in a process that converts nothing."""
    renderer = wiring.make_preview_renderer(app[SETTINGS], app[PROBES])
    try:
        yield renderer
    finally:
        await renderer.close()


@asynccontextmanager
async def _watching(app: web.Application, watch: BacklogWatch | HeldWatch) -> AsyncIterator[None]:
    """Watch the backlog, or what is held, if metrics are served."""
    if app[SETTINGS].metrics_port is None:
        yield
        return
    app[METRICS].registry.register(watch)
    looking = asyncio.create_task(watch.run(), name=type(watch).__name__)
    try:
        yield
    finally:
        looking.cancel()


@asynccontextmanager
async def _private_key(app: web.Application, aws: AwsConfig) -> AsyncIterator[None]:
    """Know the key of private pictures, if it is in a secret. Raises `SettingsError`: without it, every private picture
    would have URLs that show nothing."""
    settings, signer = app[SETTINGS], app[LINKS].signer
    if not settings.serves or not isinstance(signer, SecretSigner):
        yield
        return
    async with open_secret(aws, str(settings.private_key_secret_id)) as read:
        try:
            await signer.read(read)
        except Unavailable:
            raise SettingsError(
                "PRIVATE_KEY_SECRET_ID: the secret is not there, may not be read, or Secrets Manager does not answer"
            ) from None
        except NoKey:
            raise SettingsError(
                'PRIVATE_KEY_SECRET_ID: the secret must be {"keyId": "...", "privateKey": "..."}, the key in PEM (RSA, '
                f"{KEY_BITS} bits, without a password)"
            ) from None
        following = asyncio.create_task(signer.follow(read), name="private key")
        try:
            yield
        finally:
            following.cancel()


def open_http(ca_file: str | None = None) -> aiohttp.ClientSession:
    """The HTTP client for calls to others than AWS. It uses the proxy of the environment, like the AWS clients.
    `ca_file` has the trusted authorities, if not those of the system."""
    trust = ssl.create_default_context(cafile=ca_file)
    return aiohttp.ClientSession(trust_env=True, connector=aiohttp.TCPConnector(ssl=trust))


def _open_webhooks(settings: Settings) -> aiohttp.ClientSession:
    """The HTTP client for what tenants name; it is made within the event loop that uses it."""
    return webhook_session(
        seconds=settings.webhook_timeout_seconds, loopback=settings.on_this_machine, ca_file=settings.ca_file
    )


def _tell_of_sessions(settings: ResourceSettings) -> None:
    """Log a setting that has no effect, if somebody set it."""
    usual = ResourceSettings.model_fields["role_session_seconds"].default
    if told_by_pod_identity(os.environ) and settings.role_session_seconds != usual:
        log.warning("ROLE_SESSION_SECONDS has no effect: EKS Pod Identity says how long a session lasts")


def _put_use_cases(app: web.Application, stores: Stores, quota: Quota, use_cases: UseCases) -> None:
    app[QUOTA] = quota
    app[STORES] = stores
    app[UPLOADS] = use_cases.uploads
    app[LARGE_FILES] = use_cases.large_files
    app[UNSIZED_FILES] = use_cases.unsized_files
    app[CATALOG] = use_cases.catalog
    app[PRESETS] = use_cases.presets
    app[REVIEWS] = use_cases.reviews
    app[STILL_THERE] = use_cases.catalog.current_job
    app[CURSORS] = CursorSigner(stores.jobs)
    app[LOCAL_VIEWER] = stores.processed


def _put_changes(app: web.Application, changes: ChangeStore) -> None:
    encode = partial(as_message, public_url=app[SETTINGS].cloudfront_url)
    app[WAITING] = Waiting(changes=changes)
    app[FEEDS] = Feeds(changes=changes, encode=encode, probes=app[PROBES])


def _put_access(app: web.Application, clients: AwsClients, session: aiohttp.ClientSession) -> None:
    settings = app[SETTINGS]
    app[KEY_STORE] = key_store = wiring.make_key_store(settings, clients)
    app[AUTHENTICATOR] = wiring.authenticator(settings, key_store, session)
    app[REPLAYS] = wiring.make_replay_store(settings, clients)


def _put_checks(app: web.Application, stores: Stores, work: Work | None) -> None:
    needed = dependency_checks(stores)
    if work is None:
        healthy, live, ready = needed, {}, first_answers(needed)
    else:
        live = liveness_checks(work.worker, work.renderers.engine)
        healthy, ready = {**needed, **worker_checks(work.worker)}, {**live, **readiness_checks(work.worker)}
    app[HEALTH] = Health(healthy)
    app[LIVENESS] = Health(live, fresh_seconds=0)
    app[READINESS] = Health(ready, fresh_seconds=0)
