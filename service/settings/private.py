"""The settings of private pictures."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from service.http.links import KEY_BITS, NoKey, Signer, read_key


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
            pattern=r"^[A-Za-z0-9]{1,64}$",
            description="Id of the public key at CloudFront that checks the URLs of private pictures; without it none "
            "can be private.",
        ),
    ] = None
    private_key_file: Annotated[
        str | None,
        AfterValidator(_key_file),
        Field(alias="PRIVATE_KEY_FILE", description="File with the private key (PEM, RSA, 2048 bits) to it."),
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

    @cached_property
    def signer(self) -> Signer | None:
        """None: no picture can be private."""
        if self.private_key_id is None or self.private_key_file is None:
            return None
        return Signer(self.private_key_id, read_key(self.private_key_file), self.private_url_seconds)
