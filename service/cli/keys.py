"""`truss-image keys`: make, list, replace and revoke API keys, with the rights of whoever runs it on the table."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from processor import clock
from processor.ports.keys import ApiKey, KeyStore
from service.auth.principal import DEFAULT_GRACE_SECONDS, DEFAULT_TENANT, Scope, is_tenant
from service.cli.local import running_locally
from service.cli.start import no_garbage

if TYPE_CHECKING:
    from processor.stores.config import AwsConfig
    from service.auth.api_keys import Minted

T = TypeVar("T")


def tenant_option(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """What an option may name as a tenant."""
    if value is not None and not is_tenant(value):
        raise click.BadParameter("must be 1 to 63 lower-case letters, digits, dashes and underscores")
    return value


@click.group()
def keys() -> None:
    """Manage API keys.

    Needs PROCESSING_TABLE and AWS_REGION, as `serve` does, and the right to read and write that table. Without them, it
    works on the local mode that runs over DATA_DIR.
    """


@keys.command()
@click.option(
    "--tenant", default=DEFAULT_TENANT, show_default=True, callback=tenant_option, help="Whose images it opens."
)
@click.option("--name", required=True, help="What it is for, for people.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it allows; may be repeated.",
)
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Days until it ends; without it, never.")
def create(tenant: str, name: str, scopes: tuple[str, ...], expires_days: int | None) -> None:
    """Make a key, and print it this once."""
    from service.auth import api_keys

    def run(store: KeyStore) -> Awaitable[Minted]:
        return api_keys.create(
            store,
            tenant=tenant,
            name=name,
            scopes=[Scope(scope) for scope in scopes],
            lifetime=None if expires_days is None else timedelta(days=expires_days),
        )

    _show_new(_with_store(run))


@keys.command("list")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, callback=tenant_option, help="Whose keys.")
def list_(tenant: str) -> None:
    """List a tenant's keys, newest first."""
    for key in _with_store(lambda store: store.list(tenant)):
        click.echo(f"{key.key_id}  {_state(key):<28}  {','.join(key.scopes)}  {key.name}")


@keys.command()
@click.argument("key_id")
@click.option(
    "--grace-seconds",
    type=click.IntRange(0),
    default=DEFAULT_GRACE_SECONDS,
    show_default=True,
    help="How long the old key still works.",
)
def rotate(key_id: str, grace_seconds: int) -> None:
    """Make a key with the same rights as KEY_ID, and let that one end."""

    from service.auth import api_keys

    async def run(store: KeyStore) -> Minted:
        return await api_keys.rotate(store, await store.get(key_id), timedelta(seconds=grace_seconds))

    _show_new(_with_store(run))


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End KEY_ID now; it may open the door for half a minute more."""
    key = _with_store(lambda store: store.revoke(key_id, clock.now()))
    click.echo(f"{key.key_id}  {_state(key)}")


def _show_new(minted: Minted) -> None:
    click.echo(minted.token)
    click.echo(f"Key {minted.key.key_id} of tenant {minted.key.tenant}. It is kept nowhere: note it now.", err=True)


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {clock.to_iso(key.revoked_at)}"
    if key.expires_at is not None:
        return f"{'expires' if key.holds(clock.now()) else 'expired'} {clock.to_iso(key.expires_at)}"
    return "good"


def _with_store(work: Callable[[KeyStore], Awaitable[T]]) -> T:
    with no_garbage():
        import asyncio

        from processor.errors import KeyEnded, KeyNotFound, Unavailable
        from processor.stores.clients import open_clients
        from processor.stores.keys import DynamoKeyStore
        from processor.stores.table import Table

    table, config = _table_and_aws()

    async def run() -> T:
        async with open_clients(config) as clients:
            return await work(DynamoKeyStore(Table(clients, table)))

    try:
        return asyncio.run(run())
    except (KeyNotFound, KeyEnded, Unavailable) as error:
        raise click.ClickException(error.message) from None


def _table_and_aws() -> tuple[str, AwsConfig]:
    """The table and the AWS configuration: of the environment, or else of the running local mode."""
    from processor.stores.config import AwsConfig
    from service.config import Settings

    table = os.environ.get("PROCESSING_TABLE")
    if table:
        region, endpoint = os.environ.get("AWS_REGION") or "us-east-1", os.environ.get("AWS_ENDPOINT_URL") or None
        return table, AwsConfig(region=region, endpoint_url=endpoint)
    if Settings.describes_a_service(os.environ):
        raise click.ClickException("PROCESSING_TABLE: is required")
    settings, credentials = running_locally()
    return settings.processing_table, settings.aws(credentials)
