"""The settings of authentication."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError, from_json

from service.auth.cognito import CognitoConfig
from service.auth.principal import Scope
from service.commas import comma_separated


class AuthMode(StrEnum):
    """A kind of credentials that is accepted."""

    COGNITO = "cognito"
    API_KEY = "api_key"
    NONE = "none"


def _scope_map(value: object) -> object:
    """`{"editors": ["images:read", "images:write"]}` as text."""
    if not isinstance(value, str):
        return value
    try:
        parsed: Any = from_json(value)
    except (TypeError, ValueError):  # the first of what is not even text
        raise PydanticCustomError("scope_map", "must be a JSON object of lists of scopes") from None
    return parsed


class AuthSettings(BaseModel):
    """The settings of one component."""

    auth_modes: Annotated[
        frozenset[AuthMode],
        BeforeValidator(comma_separated),
        Field(
            alias="AUTH_MODES",
            min_length=1,
            description="Ways in, by commas: `cognito` (JWTs), `api_key`; or `none`, which lets everybody do all.",
        ),
    ] = frozenset({AuthMode.API_KEY})
    cognito_issuer: Annotated[
        str | None,
        Field(
            alias="COGNITO_ISSUER",
            pattern=r"^https?://\S+[^/\s]$",
            description="`iss` of the pool's tokens: `https://cognito-idp.{region}.amazonaws.com/{poolId}`.",
        ),
    ] = None
    cognito_jwks_url: Annotated[
        str | None,
        Field(
            alias="COGNITO_JWKS_URL",
            pattern=r"^https?://\S+$",
            description="Where the pool's keys are; by default `/.well-known/jwks.json` below the issuer.",
        ),
    ] = None
    cognito_client_ids: Annotated[
        frozenset[str],
        BeforeValidator(comma_separated),
        Field(alias="COGNITO_CLIENT_IDS", description="App clients whose tokens are accepted, by commas."),
    ] = frozenset()
    cognito_tenant_claim: Annotated[
        str, Field(alias="COGNITO_TENANT_CLAIM", min_length=1, description="Claim that names the user's tenant.")
    ] = "custom:tenant"
    cognito_tenant_group_prefix: Annotated[
        str,
        Field(
            alias="COGNITO_TENANT_GROUP_PREFIX",
            min_length=1,
            description="Without the claim, the group that begins with this names it.",
        ),
    ] = "tenant-"
    cognito_default_tenant: Annotated[
        str | None,
        Field(
            alias="COGNITO_DEFAULT_TENANT",
            pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$",
            description="Tenant of users with neither; for installations with one tenant. Without it they are refused.",
        ),
    ] = None
    cognito_scope_prefix: Annotated[
        str,
        Field(
            alias="COGNITO_SCOPE_PREFIX",
            description="Identifier of the resource server whose OAuth scopes are ours, with the slash behind it.",
        ),
    ] = "image-service/"
    cognito_scope_map: Annotated[
        dict[str, frozenset[Scope]],
        BeforeValidator(_scope_map),
        Field(
            alias="COGNITO_SCOPE_MAP",
            description='Scopes by group or OAuth scope, as JSON: `{"editors": ["images:read", "images:write"]}`. '
            "Groups and scopes that are named like ours need no entry.",
        ),
    ] = Field(default_factory=dict)

    @property
    def cognito(self) -> CognitoConfig:
        """Of the user pool, where there is one."""
        return CognitoConfig(
            issuer=self.cognito_issuer or "",
            client_ids=self.cognito_client_ids,
            tenant_claim=self.cognito_tenant_claim,
            tenant_group_prefix=self.cognito_tenant_group_prefix,
            default_tenant=self.cognito_default_tenant,
            scope_prefix=self.cognito_scope_prefix,
            scope_map=self.cognito_scope_map,
        )

    @property
    def jwks_url(self) -> str:
        return self.cognito_jwks_url or f"{self.cognito_issuer or ''}/.well-known/jwks.json"

    def complaints_about_access(self, stage: str) -> list[str]:
        """Settings that contradict each other, one line for each."""
        found = []
        if AuthMode.NONE in self.auth_modes and len(self.auth_modes) > 1:
            found.append("AUTH_MODES: `none` goes with no other mode")
        if AuthMode.NONE in self.auth_modes and stage == "prod":
            found.append("AUTH_MODES: `none` is not for the stage `prod`")
        if AuthMode.COGNITO in self.auth_modes and not (self.cognito_issuer and self.cognito_client_ids):
            found.append("AUTH_MODES: `cognito` needs COGNITO_ISSUER and COGNITO_CLIENT_IDS")
        return found
