"""Reads a secret from AWS Secrets Manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from processor.stores.clients import open_secrets_manager
from processor.stores.config import AwsConfig
from processor.stores.translate import translated


@asynccontextmanager
async def open_secret(config: AwsConfig, secret_id: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Reads the current version of a secret, named by its name or ARN, each time it is called; a secret without a text
    is empty. Raises `Unavailable`, also for a secret that is not there or may not be read: an operator must mend that.
    """
    async with open_secrets_manager(config) as client:

        async def read() -> str:
            with translated():
                answer = await client.get_secret_value(SecretId=secret_id)
            return str(answer.get("SecretString", ""))

        yield read
