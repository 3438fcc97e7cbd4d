"""Builds stores, use cases and the worker from the settings, each once, for the server and for every command."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

import aiohttp
import structlog

from processor.bulk.backfill import Backfills
from processor.bulk.jobs import BulkJobs
from processor.bulk.operations import operations
from processor.bulk.runner import BulkRunner
from processor.catalog import previews
from processor.catalog.assets import Assets
from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles
from processor.catalog.presets import Choice, Presets
from processor.catalog.previews import Previews
from processor.catalog.unsized import UnsizedFiles
from processor.catalog.uploads import Uploads
from processor.erasure import Eraser
from processor.jobs import Maker
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.cost import estimate
from processor.pipeline.engine import Engine, EngineConfig, libvips_version
from processor.pipeline.lanes import Lanes
from processor.pipeline.lettering import lettered
from processor.pipeline.limits import FileLimits
from processor.pipeline.spare import Spare
from processor.ports.bulk import AllBulk
from processor.ports.changes import ChangeStore
from processor.ports.costs import CostStore
from processor.ports.keys import KeyStore
from processor.ports.listener import Listener
from processor.ports.presets import PresetStore
from processor.ports.renderer import Renderer
from processor.ports.replays import ReplayStore
from processor.ports.stores import AllStores, Stores
from processor.probe import NO_PROBES, Probes
from processor.reviews import Reviews
from processor.sandbox.renderer import ChildRenderer
from processor.sandbox.spare import SpareRenderer
from processor.stores.backlog import DynamoBacklogStore
from processor.stores.bulk import DynamoBulkStore
from processor.stores.changes import DynamoChanges
from processor.stores.clients import AwsClients
from processor.stores.cloudfront import CloudFrontEdge
from processor.stores.costs import DynamoCostStore
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.eventbridge import EventBridgeBus
from processor.stores.keys import DynamoKeyStore
from processor.stores.presets import DynamoPresetStore
from processor.stores.replay import DynamoReplayStore
from processor.stores.s3 import S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from processor.stores.usage import DynamoUsageStore
from processor.stores.webhooks import DynamoWebhookStore
from processor.storing import Shelf
from processor.turns import Turns
from processor.usage import Quota
from processor.webhooks.bus import BusTeller
from processor.webhooks.delivering import Deliverer, Render
from processor.webhooks.directory import Directory
from processor.webhooks.listener import WebhookTeller
from processor.webhooks.registry import Webhooks
from processor.work.conversion import Converter
from processor.work.worker import Errands, Worker
from service.auth.api_keys import ApiKeyVerifier
from service.auth.authenticator import Authenticator, Open
from service.auth.cognito import CognitoVerifier
from service.auth.jwks import HttpKeySource, JwksCache
from service.auth.settings import AuthMode, AuthSettings
from service.calls.events import event_text
from service.config import Settings
from service.machine import OWN_BYTES, memory_limit_bytes
from service.observe.backlog import BacklogWatch
from service.observe.ends import EndCounter
from service.observe.held import HeldWatch
from service.observe.metrics import Metrics
from service.observe.settings import LogSettings
from service.settings.files import FileSettings
from service.settings.resources import ResourceSettings
from service.webhooks.sender import HttpSender

#: Most pixels of a picture for a preview, all frames together, and the longest that it may take, in seconds.
PREVIEW_PIXELS, PREVIEW_SECONDS = 50_000_000, 20.0
#: Memory of a preview in a process that converts nothing: the least, which `OWN_BYTES` has room for, and the most.
LEAST_PREVIEW_BYTES, MOST_PREVIEW_BYTES = 48 * 1024 * 1024, 384 * 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderers:
    """The renderers: in threads of this process, and in child processes. They share one budget."""

    engine: Engine
    children: ChildRenderer
    #: For files that wait for either.
    room: MemoryBudget
    #: For what nobody waits for: what the engine and the children leave; and for files that wait for that.
    spare: Spare
    spare_renderer: SpareRenderer
    spare_room: MemoryBudget
    #: For previews: like the children, with limits of its own.
    previews: ChildRenderer

    async def close(self) -> None:
        """Children first: the engine waits for what it gave them."""
        await self.previews.close()
        await self.spare_renderer.close()
        await self.children.close()
        await self.engine.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The worker and its renderers; a process that only answers the API has none."""

    worker: Worker
    renderers: Renderers
    bulk: BulkRunner

    def start(self) -> None:
        self.worker.start()
        self.bulk.start()

    async def end(self, seconds: float) -> None:
        """Finish what is begun, within so many seconds."""
        await asyncio.gather(self.worker.drain(seconds), self.bulk.drain(seconds))
        await self.renderers.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """The use cases of the API."""

    uploads: Uploads
    large_files: LargeFiles
    unsized_files: UnsizedFiles
    catalog: Catalog
    presets: Presets
    reviews: Reviews


def tell_build(settings: LogSettings, metrics: Metrics) -> None:
    """Set the versions in the metrics."""
    libvips = libvips_version().removeprefix("libvips ")
    metrics.build(version=version("truss-image"), revision=settings.revision, libvips=libvips)


def make_listeners(webhooks: Webhooks, bus: BusTeller | None, metrics: Metrics | None) -> tuple[Listener, ...]:
    """The listeners of a process. A command has no metrics that anybody could read."""
    listeners: list[Listener] = [
        WebhookTeller(store=webhooks.store, queue=webhooks.queue, directory=webhooks.directory)
    ]
    if bus is not None:
        listeners.append(bus)
    if metrics is not None:
        listeners.append(EndCounter(metrics.registry))
    return tuple(listeners)


def make_bus(settings: ResourceSettings, clients: AwsClients) -> BusTeller | None:
    """The listener that tells the bus, if there is one."""
    if settings.event_bus is None:
        return None
    render = partial(event_text, public_url=settings.cloudfront_url)
    return BusTeller(bus=EventBridgeBus(clients, settings.event_bus), render=render)


def make_stores(
    settings: ResourceSettings,
    clients: AwsClients,
    metrics: Metrics | None = None,
    webhooks: Webhooks | None = None,
) -> AllStores:
    """Stores on AWS, or on an endpoint that speaks its protocols."""
    dead_letters, distribution = settings.dead_letter_queue_url, settings.cloudfront_distribution_id
    webhooks = webhooks or make_webhooks(settings, clients)
    return AllStores(
        jobs=DynamoJobStore(Table(clients, settings.processing_table)),
        source=S3ObjectStore(clients, settings.source_bucket),
        processed=S3ObjectStore(clients, settings.processed_bucket),
        queue=webhooks.queue,
        dead_letters=None if dead_letters is None else SqsMessageQueue(clients, dead_letters),
        edge=None if distribution is None else CloudFrontEdge(clients, distribution),
        listeners=make_listeners(webhooks, make_bus(settings, clients), metrics),
    )


def make_webhooks(settings: ResourceSettings, clients: AwsClients) -> Webhooks:
    """The webhooks of tenants."""
    store = DynamoWebhookStore(Table(clients, settings.processing_table))
    queue = SqsMessageQueue(clients, settings.queue_url)
    return Webhooks(store=store, queue=queue, directory=Directory(store=store))


def make_deliverer(
    settings: Settings,
    webhooks: Webhooks,
    stores: AllStores,
    probes: Probes,
    *,
    session: aiohttp.ClientSession,
    render: Render,
) -> Deliverer:
    """It delivers nothing before the worker has a message for it."""
    return Deliverer(
        webhooks=webhooks,
        jobs=stores.jobs,
        sender=HttpSender(session),
        render=render,
        failing_limit=settings.webhook_failing_limit,
        probes=probes,
    )


def make_changes(settings: ResourceSettings, clients: AwsClients) -> ChangeStore:
    """What has changed, for who waits and who is told."""
    return DynamoChanges(Table(clients, settings.processing_table))


def make_key_store(settings: ResourceSettings, clients: AwsClients) -> KeyStore:
    return DynamoKeyStore(Table(clients, settings.processing_table))


def make_bulk_store(settings: ResourceSettings, clients: AwsClients) -> AllBulk:
    """The store of bulk jobs."""
    return DynamoBulkStore(Table(clients, settings.processing_table))


def make_cost_store(settings: ResourceSettings, clients: AwsClients) -> CostStore:
    """What tenants have used by day."""
    return DynamoCostStore(Table(clients, settings.processing_table))


def make_replay_store(settings: ResourceSettings, clients: AwsClients) -> ReplayStore:
    """The store of answers to repeated requests."""
    return DynamoReplayStore(Table(clients, settings.processing_table))


def make_quota(settings: Settings, clients: AwsClients) -> Quota:
    """What tenants may use, and have used."""
    return Quota(store=DynamoUsageStore(Table(clients, settings.processing_table)), defaults=settings.limits)


def make_preset_store(settings: ResourceSettings, clients: AwsClients) -> PresetStore:
    """The store of presets."""
    return DynamoPresetStore(Table(clients, settings.processing_table))


def make_use_cases(settings: FileSettings, stores: Stores, quota: Quota, presets: PresetStore) -> UseCases:
    max_bytes, choice = settings.max_upload_bytes, Choice(standard=settings.recipe, store=presets)
    catalog = Catalog(stores=stores, quota=quota, choice=choice, retention=settings.retention)
    return UseCases(
        uploads=Uploads(stores=stores, quota=quota, choice=choice, max_bytes=max_bytes),
        large_files=LargeFiles(stores=stores, quota=quota, choice=choice, catalog=catalog),
        unsized_files=UnsizedFiles(stores=stores, quota=quota, choice=choice, catalog=catalog, max_bytes=max_bytes),
        catalog=catalog,
        presets=Presets(store=presets, choice=choice, jobs=stores.jobs),
        reviews=Reviews(stores=stores, shelf=Shelf(processed=stores.processed), retention=settings.retention),
    )


def make_backfills(stores: Stores, bulk: BulkJobs, choice: Choice) -> Backfills:
    return Backfills(jobs=stores.jobs, bulk=bulk, choice=choice, estimate=estimate)


def make_previews(stores: Stores, renderer: Renderer) -> Previews:
    """It renders nothing before it is asked."""
    return Previews(stores=stores, renderer=renderer)


def make_assets(stores: Stores, presets: PresetStore, previews: Previews) -> Assets:
    return Assets(source=stores.source, presets=presets, previews=previews, letter=lettered)


def make_preview_renderer(
    settings: Settings, probes: Probes = NO_PROBES, *, budget: MemoryBudget | None = None, lane: Turns | None = None
) -> ChildRenderer:
    """Renders previews in child processes. With a budget and a lane, it shares those of the conversions. Else one
    picture is in work at a time, with the memory that this process leaves."""
    config = replace(engine_config(settings), limits=preview_limits(settings))
    if budget is None:
        config = replace(config, memory_budget_bytes=preview_budget_bytes(memory_limit_bytes()), ceiling_bytes=None)
    return ChildRenderer(config, budget=budget, lane=lane, probes=probes)


def preview_limits(settings: FileSettings) -> FileLimits:
    """The limits of a picture for a preview, below those of an upload."""
    limits = settings.file_limits
    return replace(
        limits,
        max_bytes=min(limits.max_bytes, previews.MAX_BYTES),
        max_pixels=min(limits.max_pixels, PREVIEW_PIXELS),
        timeout_seconds=min(limits.timeout_seconds, PREVIEW_SECONDS),
    )


def preview_budget_bytes(memory_limit_bytes: int | None) -> int:
    """The memory of a preview in a process that converts nothing else."""
    if memory_limit_bytes is None:
        return MOST_PREVIEW_BYTES
    return min(MOST_PREVIEW_BYTES, max(LEAST_PREVIEW_BYTES, memory_limit_bytes - OWN_BYTES))


def make_renderers(settings: Settings, probes: Probes = NO_PROBES) -> Renderers:
    """Made within the event loop that uses them."""
    config = engine_config(settings)
    budget = MemoryBudget.of_threads(config.threads, settings.conversion_budget_bytes)
    lanes = Lanes(config.threads)
    children = ChildRenderer(config, budget=budget, lane=lanes.long, probes=probes)
    engine = Engine(config, budget=budget, lanes=lanes, outside=children, probes=probes)
    # Budgets of their own: a file that kept memory from the image whose turn it is would wait for ever.
    room = MemoryBudget(slots=settings.slots, budget_bytes=settings.max_upload_bytes)
    spare_room = MemoryBudget(slots=settings.slots, budget_bytes=settings.max_upload_bytes)
    spare = Spare(budget, lanes)
    spare_renderer = SpareRenderer(ChildRenderer(config, budget=spare, patient=True), spare, config.limits)
    preview_renderer = make_preview_renderer(settings, probes, budget=budget, lane=lanes.long)
    return Renderers(
        engine=engine,
        children=children,
        room=room,
        spare=spare,
        spare_renderer=spare_renderer,
        spare_room=spare_room,
        previews=preview_renderer,
    )


def make_work(
    settings: Settings,
    stores: AllStores,
    quota: Quota,
    probes: Probes,
    *,
    bulk: BulkRunner,
    errands: Errands | None = None,
) -> Work:
    """It takes no messages and no bulk jobs before it is started."""
    renderers = make_renderers(settings, probes)
    worker = make_worker(settings, stores, quota, renderers, probes, errands=errands)
    return Work(worker=worker, renderers=renderers, bulk=bulk)


def make_bulk_runner(
    settings: Settings, stores: AllStores, bulk: AllBulk, catalog: Catalog, probes: Probes
) -> BulkRunner:
    """It works on nothing before it is started."""
    return BulkRunner(
        store=bulk,
        jobs=stores.jobs,
        queue=stores.queue,
        operations=operations(catalog),
        per_second=settings.bulk_per_second,
        lease_seconds=settings.visibility_seconds,
        probes=probes,
    )


def make_worker(
    settings: Settings,
    stores: AllStores,
    quota: Quota,
    renderers: Renderers,
    probes: Probes,
    *,
    errands: Errands | None = None,
) -> Worker:
    """It takes nothing before it is started."""
    converter = Converter(
        jobs=stores.jobs,
        source=stores.source,
        processed=stores.processed,
        renderer=renderers.engine,
        suspect_renderer=renderers.children,
        eraser=Eraser(stores=stores, quota=quota),
        room=renderers.room,
        spare_renderer=renderers.spare_renderer,
        spare_room=renderers.spare_room,
        source_bucket=settings.source_bucket,
        max_bytes=settings.max_upload_bytes,
        retention=settings.retention,
        lease_seconds=settings.visibility_seconds,
        quota=quota,
        maker=Maker(encoder=libvips_version(), service=version("truss-image")),
        recipe=settings.recipe,
        listeners=stores.listeners,
        probes=probes,
    )
    return Worker(
        *(stores.queue, converter, settings.worker),
        dead_letters=stores.dead_letters,
        errands=errands,
        probes=probes,
        fit=lambda: not renderers.engine.stuck,
        idle=renderers.spare.idle,
    )


def make_backlog_watch(
    settings: ResourceSettings, clients: AwsClients, stores: Stores, work: Work | None
) -> BacklogWatch:
    """It does not look before it is run."""
    return BacklogWatch(
        queue=stores.queue,
        dead_letters=stores.dead_letters,
        store=DynamoBacklogStore(Table(clients, settings.processing_table)),
        received_through=lambda: work.worker.received_through if work else 0,
    )


def make_held_watch(stores: Stores) -> HeldWatch:
    """It does not look before it is run."""
    return HeldWatch(processed=stores.processed)


def engine_config(settings: Settings) -> EngineConfig:
    """The settings of the pipeline."""
    limit = memory_limit_bytes()
    return EngineConfig(
        threads=settings.worker_threads,
        memory_budget_bytes=settings.conversion_budget_bytes,
        ceiling_bytes=None if limit is None else limit - OWN_BYTES,
        models=settings.models_dir,
        limits=settings.file_limits,
    )


def authenticator(settings: Settings, keys: KeyStore, session: aiohttp.ClientSession) -> Authenticator | Open:
    """Accepts the kinds of credentials that the settings name."""
    modes = settings.auth_modes
    if AuthMode.NONE in modes:
        log.warning("Authentication is off: whoever reaches this service may do everything", stage=settings.stage)
        return Open()
    return Authenticator(
        bearer=_cognito(settings, session) if AuthMode.COGNITO in modes else None,
        api_key=ApiKeyVerifier(keys) if AuthMode.API_KEY in modes else None,
    )


def _cognito(settings: AuthSettings, session: aiohttp.ClientSession) -> CognitoVerifier:
    return CognitoVerifier(settings.cognito, JwksCache(HttpKeySource(session, settings.jwks_url)))
