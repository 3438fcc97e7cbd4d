"""Real tokens of a real user pool: sign up, sign in, call a locked service."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import aiohttp
import pytest

from service.local.emulator import REGION
from tests.fleet import run_service, run_stage
from tests.local_aws import ADMINISTRATOR, LocalAws

if TYPE_CHECKING:
    from types_aiobotocore_cognito_idp import CognitoIdentityProviderClient

PASSWORD = "Correct-horse-7"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A user pool and its one app client."""

    cognito: CognitoIdentityProviderClient
    endpoint_url: str
    pool_id: str
    client_id: str

    @property
    def jwks_url(self) -> str:
        return f"{self.endpoint_url}/{self.pool_id}/.well-known/jwks.json"

    async def sign_in(self, name: str, *groups: str) -> dict[str, str]:
        """The tokens of a new user in these groups."""
        await self.cognito.sign_up(ClientId=self.client_id, Username=name, Password=PASSWORD)
        await self.cognito.admin_confirm_sign_up(UserPoolId=self.pool_id, Username=name)
        for group in groups:
            await self.cognito.admin_add_user_to_group(UserPoolId=self.pool_id, Username=name, GroupName=group)
        answer = await self.cognito.admin_initiate_auth(
            UserPoolId=self.pool_id,
            ClientId=self.client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": PASSWORD},
        )
        tokens: dict[str, Any] = dict(answer["AuthenticationResult"])
        return tokens


@asynccontextmanager
async def user_pool(aws: LocalAws, *groups: str) -> AsyncIterator[Pool]:
    session = aioboto3.Session(
        region_name=REGION,
        aws_access_key_id=ADMINISTRATOR.access_key_id,
        aws_secret_access_key=ADMINISTRATOR.secret_access_key,
    )
    async with session.client("cognito-idp", endpoint_url=aws.endpoint_url) as cognito:
        pool_id = (await cognito.create_user_pool(PoolName="people"))["UserPool"]["Id"]
        app = await cognito.create_user_pool_client(
            UserPoolId=pool_id, ClientName="web", ExplicitAuthFlows=["ALLOW_ADMIN_USER_PASSWORD_AUTH"]
        )
        for group in groups:
            await cognito.create_group(UserPoolId=pool_id, GroupName=group)
        client_id = app["UserPoolClient"]["ClientId"]
        yield Pool(cognito=cognito, endpoint_url=aws.endpoint_url, pool_id=pool_id, client_id=client_id)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def claim(token: str, name: str) -> str:
    body = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))[name])


@pytest.mark.slow
async def test_people_of_the_pool_get_in_with_either_token_and_strangers_do_not(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    groups = ("tenant-acme", "tenant-globex", "images:read", "images:write")
    async with run_stage(tmp_path / "aws") as stage, user_pool(stage.aws, *groups) as pool:
        ann = await pool.sign_in("ann", "tenant-acme", "images:read", "images:write")
        bob = await pool.sign_in("bob", "tenant-globex", "images:read")
        nobody = await pool.sign_in("nobody", "images:read")
        async with user_pool(stage.aws, *groups) as other:
            stranger = await other.sign_in("ann", "tenant-acme", "images:read")
        log_file = tmp_path / "service.log"
        async with run_service(
            stage,
            session,
            log_file,
            AUTH_MODES="cognito,api_key",
            COGNITO_ISSUER=claim(ann["AccessToken"], "iss"),
            COGNITO_JWKS_URL=pool.jwks_url,
            COGNITO_CLIENT_IDS=pool.client_id,
        ) as service:
            issued = await service.call(
                "POST", "/images/upload-url", json={"filename": "a.jpg"}, headers=bearer(ann["AccessToken"])
            )
            status = f"/images/status/{issued['processingId']}"
            for token in (ann["AccessToken"], ann["IdToken"]):
                await service.call("GET", status, headers=bearer(token))
            await service.call("GET", status, headers=bearer(bob["AccessToken"]), expect=404)
            upload = {"json": {"filename": "a.jpg"}, "headers": bearer(bob["AccessToken"])}
            await service.call("POST", "/images/upload-url", expect=403, **upload)
            refused = await service.call("GET", status, headers=bearer(nobody["AccessToken"]), expect=403)
            assert refused["code"] == "no_tenant"
            for token in (stranger["AccessToken"], stranger["IdToken"], ann["RefreshToken"]):
                await service.call("GET", status, headers=bearer(token), expect=401)
        log = log_file.read_text()
    assert ann["AccessToken"] not in log
    assert ann["AccessToken"].split(".")[2] not in log
