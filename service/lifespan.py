"""The composition root: clients, stores, engine, use cases, worker; built in order, torn down in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version

import aiohttp
import structlog
from aiohttp import web

from processor.catalog.images import Catalog
from processor.catalog.parts import LargeFiles
from processor.errors import Unavailable
from processor.jobs import Maker
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.engine import Engine, EngineConfig, libvips_version
from processor.pipeline.limits import Limits
from processor.ports.keys import KeyStore
from processor.recipes import standard
from processor.sandbox.renderer import ChildRenderer
from processor.stores.clients import AwsClients, AwsConfig, AwsCredentials, open_clients
from processor.stores.cloudfront import CloudFrontEdge
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.keys import DynamoKeyStore
from processor.stores.replay import DynamoReplayStore
from processor.stores.s3 import S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from processor.stores.usage import DynamoUsageStore
from processor.usage import Quota
from processor.work.conversion import Converter
from processor.work.worker import Worker, WorkerConfig
from service.auth.api_keys import KEY_STORE, ApiKeyVerifier
from service.auth.authenticator import AUTHENTICATOR, Authenticator, Open
from service.auth.cognito import CognitoConfig, CognitoVerifier
from service.auth.jwks import HttpKeySource, JwksCache
from service.auth.settings import AuthMode
from service.calls.use_cases import CATALOG, LARGE_FILES
from service.calls.viewer import LOCAL_VIEWER
from service.config import SETTINGS, Settings
from service.http.cursor import CURSORS, CursorSigner
from service.idempotency import REPLAYS, STILL_THERE
from service.limits.middleware import QUOTA
from service.machine import OWN_BYTES, memory_limit_bytes
from service.observe.health import HEALTH, LIVENESS, READINESS, Check, Health
from service.observe.metrics import METRICS

log = structlog.get_logger(__name__)

Lifespan = Callable[[web.Application], AsyncIterator[None]]


def lifespan(credentials: AwsCredentials | None = None) -> Lifespan:
    """The context in which an application lives; without `credentials` AWS's default chain finds some."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        settings = app[SETTINGS]
        async with open_clients(aws_config(settings, credentials)) as clients, open_http() as session:
            budget = MemoryBudget(slots=settings.worker_threads, budget_bytes=settings.memory_budget_bytes)
            children = ChildRenderer(engine_config(settings), budget=budget)
            engine = Engine(engine_config(settings), budget=budget, outside=children)
            table = Table(clients, settings.processing_table)
            key_store = DynamoKeyStore(table)
            quota = Quota(store=DynamoUsageStore(table), defaults=settings.limits)
            catalog = replace(build_catalog(settings, clients), quota=quota)
            converter = Converter(
                jobs=catalog.jobs,
                source=catalog.source,
                processed=catalog.processed,
                renderer=engine,
                suspect_renderer=children,
                eraser=catalog.eraser,
                source_bucket=settings.source_bucket,
                max_bytes=settings.max_upload_bytes,
                retention=catalog.retention,
                lease_seconds=settings.visibility_seconds,
                quota=quota,
                maker=Maker(encoder=libvips_version(), service=version("truss-image")),
                recipe=catalog.recipe,
            )
            worker = Worker(
                *(catalog.queue, converter, worker_config(settings)),
                dead_letters=catalog.dead_letters,
                observe=app[METRICS].outcome,
                fit=lambda: not engine.stuck,
            )
            app[METRICS].watch(worker, engine)
            app[CATALOG] = catalog
            app[LARGE_FILES] = LargeFiles(catalog=catalog)
            app[KEY_STORE] = key_store
            app[QUOTA] = quota
            app[REPLAYS], app[STILL_THERE] = DynamoReplayStore(table), catalog.current_job
            app[AUTHENTICATOR] = authenticator(settings, key_store, session)
            app[CURSORS] = CursorSigner(catalog.jobs)
            app[LOCAL_VIEWER] = catalog.processed
            app[HEALTH] = Health(health_checks(catalog, worker))
            app[LIVENESS] = Health(liveness_checks(worker, engine), fresh_seconds=0)
            app[READINESS] = Health(readiness_checks(worker, engine), fresh_seconds=0)
            app.on_shutdown.append(_stop_receiving(worker))
            worker.start()
            yield
            await worker.drain(settings.drain_seconds)
            await children.close()
            await engine.close()

    return context


def open_http() -> aiohttp.ClientSession:
    """For calls to others than AWS. A proxy that the environment names is used, as the AWS clients do."""
    return aiohttp.ClientSession(trust_env=True)


def aws_config(settings: Settings, credentials: AwsCredentials | None = None) -> AwsConfig:
    """The slice of the settings that the AWS clients need."""
    return AwsConfig(
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        public_s3_endpoint_url=settings.s3_public_endpoint_url,
        credentials=credentials,
        role_session_seconds=settings.role_session_seconds,
    )


def engine_config(settings: Settings) -> EngineConfig:
    """The slice of the settings that the pipeline needs."""
    limit = memory_limit_bytes()
    return EngineConfig(
        threads=settings.worker_threads,
        memory_budget_bytes=settings.memory_budget_bytes,
        ceiling_bytes=None if limit is None else limit - OWN_BYTES,
        limits=Limits(
            max_bytes=settings.max_upload_bytes,
            max_pixels=settings.max_pixels,
            max_side=settings.max_side,
            max_frames=settings.max_frames,
            timeout_seconds=settings.process_timeout_seconds,
        ),
    )


def worker_config(settings: Settings) -> WorkerConfig:
    """The slice of the settings that the worker needs."""
    return WorkerConfig(
        slots=settings.slots,
        wait_seconds=settings.queue_wait_seconds,
        visibility_seconds=settings.visibility_seconds,
    )


def build_catalog(settings: Settings, clients: AwsClients) -> Catalog:
    """The use cases over real AWS, or over whatever speaks its protocols at the configured endpoint."""
    dead_letters, distribution = settings.dead_letter_queue_url, settings.cloudfront_distribution_id
    return Catalog(
        jobs=DynamoJobStore(Table(clients, settings.processing_table)),
        source=S3ObjectStore(clients, settings.source_bucket),
        processed=S3ObjectStore(clients, settings.processed_bucket),
        queue=SqsMessageQueue(clients, settings.queue_url),
        dead_letters=None if dead_letters is None else SqsMessageQueue(clients, dead_letters),
        edge=None if distribution is None else CloudFrontEdge(clients, distribution),
        max_bytes=settings.max_upload_bytes,
        retention=timedelta(days=settings.retention_days),
        recipe=standard(settings.webp_effort),
    )


def authenticator(settings: Settings, keys: KeyStore, session: aiohttp.ClientSession) -> Authenticator | Open:
    """The ways in that the settings open."""
    modes = settings.auth_modes
    if AuthMode.NONE in modes:
        log.warning("Authentication is off: whoever reaches this service may do everything", stage=settings.stage)
        return Open()
    return Authenticator(
        bearer=cognito_verifier(settings, session) if AuthMode.COGNITO in modes else None,
        api_key=ApiKeyVerifier(keys) if AuthMode.API_KEY in modes else None,
    )


def cognito_verifier(settings: Settings, session: aiohttp.ClientSession) -> CognitoVerifier:
    """The slice of the settings that tells of the user pool."""
    issuer = settings.cognito_issuer or ""
    url = settings.cognito_jwks_url or f"{issuer}/.well-known/jwks.json"
    config = CognitoConfig(
        issuer=issuer,
        client_ids=settings.cognito_client_ids,
        tenant_claim=settings.cognito_tenant_claim,
        tenant_group_prefix=settings.cognito_tenant_group_prefix,
        default_tenant=settings.cognito_default_tenant,
        scope_prefix=settings.cognito_scope_prefix,
        scope_map=settings.cognito_scope_map,
    )
    return CognitoVerifier(config, JwksCache(HttpKeySource(session, url)))


def health_checks(catalog: Catalog, worker: Worker) -> dict[str, Check]:
    """What the service cannot work without, by the names that the health call shows."""

    async def worker_polls() -> None:
        if not worker.polling:
            raise Unavailable("The worker does not hear from its queue.")

    return {
        "sourceBucket": catalog.source.ping,
        "processedBucket": catalog.processed.ping,
        "queue": catalog.queue.ping,
        "table": catalog.jobs.ping,
        "worker": worker_polls,
    }


def liveness_checks(worker: Worker, engine: Engine) -> dict[str, Check]:
    """What a restart would mend, and nothing else."""

    async def worker_lives() -> None:
        if not worker.alive:
            raise Unavailable("A loop of the worker has ended.")

    async def engine_lives() -> None:
        if engine.wedged:
            raise Unavailable("A thread does not end.")

    return {"worker": worker_lives, "engine": engine_lives}


def readiness_checks(worker: Worker, engine: Engine) -> dict[str, Check]:
    """Whether this process has shown that it can work: a release with a wrong queue or without rights never has.

    It stays ready when AWS goes away later. All pods would go with it, and callers would see no answer at all.
    """

    async def worker_has_polled() -> None:
        if worker.last_poll is None:
            raise Unavailable("The worker has not heard from its queue yet.")

    return {**liveness_checks(worker, engine), "queue": worker_has_polled}


def _stop_receiving(worker: Worker) -> Callable[[web.Application], Awaitable[None]]:
    async def stop(_: web.Application) -> None:
        worker.stop_receiving()

    return stop
