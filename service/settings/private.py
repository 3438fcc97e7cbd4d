"""The settings of private pictures."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from service.http.links import KEY_BITS, NoKey, Signer, Signing, read_key
from service.http.signing import KEY_ID, SecretSigner


def _key_file(path: str | None) -> str | None:
    if path is not None:
        try:
            read_key(path)
        except NoKey:
            message = "must be a file with an RSA key of {bits} bits in PEM, without a password"
            raise PydanticCustomError("private_key", message, {"bits": KEY_BITS}) from None
    return path


class PrivateSettings(BaseModel):
    """A part of the whole configuration."""

    private_key_id: Annotated[
        str | None,
        Field(
            alias="PRIVATE_KEY_ID",
            pattern=KEY_ID,
            description="Id of the public key at CloudFront that checks the URLs of private pictures; without it none "
            "can be private.",
        ),
    ] = None
    private_key_file: Annotated[
        str | None,
        AfterValidator(_key_file),
        Field(alias="PRIVATE_KEY_FILE", description="File with the private key (PEM, RSA, 2048 bits) to it."),
    ] = None
    private_key_secret_id: Annotated[
        str | None,
        Field(
            alias="PRIVATE_KEY_SECRET_ID",
            pattern=r"^[A-Za-z0-9/_+=.@!:-]+$",
            description="Instead of both: name or ARN of a secret in AWS Secrets Manager that has `keyId` and "
            "`privateKey` as JSON. It is read at the start, and again every five minutes.",
        ),
    ] = None
    private_url_seconds: Annotated[
        int,
        Field(
            alias="PRIVATE_URL_SECONDS",
            ge=60,
            le=604800,
            description="The longest that the URL of a private picture works; one in an answer works for three "
            "quarters of it, or more.",
        ),
    ] = 3600

    @property
    def complaints_about_keys(self) -> str:
        """Why these settings together mean nothing; empty if they do."""
        if (self.private_key_id is None) != (self.private_key_file is None):
            return "PRIVATE_KEY_ID and PRIVATE_KEY_FILE: one is nothing without the other"
        if self.private_key_secret_id is not None and self.private_key_id is not None:
            return "PRIVATE_KEY_SECRET_ID: the secret has id and key; unset PRIVATE_KEY_ID and PRIVATE_KEY_FILE"
        return ""

    @cached_property
    def signer(self) -> Signing | None:
        """None: no picture can be private. A `SecretSigner` has no key before its secret is read."""
        if self.private_key_secret_id is not None:
            return SecretSigner(self.private_url_seconds)
        if self.private_key_id is None or self.private_key_file is None:
            return None
        return Signer(self.private_key_id, read_key(self.private_key_file), self.private_url_seconds)
