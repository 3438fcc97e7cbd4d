"""A secret in AWS Secrets Manager: its current version, and no other answer than `Unavailable` without it."""

from __future__ import annotations

import uuid

import pytest

from processor.errors import Unavailable
from processor.stores.clients import open_secrets_manager
from processor.stores.secrets import open_secret
from tests.contract.conftest import Backend


async def test_the_current_version_is_read_by_name_and_by_arn_and_a_missing_one_is_unavailable(
    backend: Backend,
) -> None:
    if backend.aws is None:
        pytest.skip("memory keeps no secrets")
    config, name = backend.aws.config(), f"truss-image/{uuid.uuid4().hex}/private-key"
    async with open_secrets_manager(config) as manager, open_secret(config, name) as read:
        with pytest.raises(Unavailable):
            await read()
        arn = (await manager.create_secret(Name=name, SecretString="one"))["ARN"]
        assert await read() == "one"
        await manager.put_secret_value(SecretId=name, SecretString="two")
        async with open_secret(config, arn) as read_by_arn:
            assert (await read(), await read_by_arn()) == ("two", "two")
        await manager.put_secret_value(SecretId=name, SecretBinary=b"three")
        assert await read() == ""
        await manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        with pytest.raises(Unavailable):
            await read()
