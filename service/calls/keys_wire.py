"""Requests and answers about keys: how they look on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from processor.ports.keys import ApiKey
from service.auth.api_keys import Minted
from service.auth.principal import DEFAULT_GRACE_SECONDS, Scope
from service.calls.answers import Answer, Heard, Time
from service.calls.schemas import Question, printable

#: Longest life of a key that has an end, in seconds: ten years.
MAX_KEY_SECONDS = 10 * 366 * 24 * 3600
#: Longest time that a replaced key still works, in seconds: thirty days.
MAX_GRACE_SECONDS = 30 * 24 * 3600


def _scope(value: object) -> object:
    """JSON has no enumerations, so a strict model would refuse every one."""
    return Scope(value) if isinstance(value, str) and value in list(Scope) else value


KeyId = Annotated[str, Field(examples=["k3v7q2mzt5x6wabn"])]
ScopeName = Annotated[Scope, BeforeValidator(_scope)]


class NewApiKeyRequest(Question):
    """What the key is to be for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "importer", "scopes": ["images:read", "images:write"], "expiresIn": 7776000}]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(printable)] = Field(
        description="What it is for, for people.", examples=["importer"]
    )
    scopes: Annotated[list[ScopeName], Field(min_length=1)] = Field(
        description="What it allows.", examples=[[Scope.READ, Scope.WRITE]]
    )
    expires_in: int | None = Field(
        default=None, ge=60, le=MAX_KEY_SECONDS, description="Seconds until it ends; without it, never."
    )


class RotateRequest(Question):
    """How long the old key goes on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace": DEFAULT_GRACE_SECONDS}]})

    grace: int = Field(
        default=DEFAULT_GRACE_SECONDS, ge=0, le=MAX_GRACE_SECONDS, description="Seconds until the old key ends."
    )


class ApiKeyAnswer(Answer):
    """What is known of a key; its text is not."""

    key_id: KeyId
    tenant: str = Field(examples=["acme"])
    name: str = Field(examples=["importer"])
    scopes: list[str] = Field(examples=[[Scope.READ, Scope.WRITE]])
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None = Field(description="To the hour.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """Everything but the digest."""
        return cls(
            key_id=key.key_id,
            tenant=key.tenant,
            name=key.name,
            scopes=list(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class NewApiKeyAnswer(ApiKeyAnswer, Heard):
    """A new key, with its text."""

    key: str = Field(
        description="Send it as `X-Api-Key`. It is shown this once, and kept nowhere.",
        examples=["truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXA"],
    )

    @classmethod
    def of_minted(cls, minted: Minted) -> Self:
        """The one place where the text goes out."""
        return cls(**ApiKeyAnswer.of(minted.key).model_dump(), key=minted.token)


class ApiKeyList(Answer):
    """The keys of a tenant, newest first; ended ones for thirty days more."""

    keys: list[ApiKeyAnswer]
    count: int

    @classmethod
    def of(cls, keys: Sequence[ApiKey]) -> Self:
        """In the order given."""
        return cls(keys=[ApiKeyAnswer.of(key) for key in keys], count=len(keys))
