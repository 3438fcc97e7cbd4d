"""The calls about keys and limits, as the OpenAPI document describes them."""

from __future__ import annotations

from openapi_pydantic.v3.v3_1 import Parameter, PathItem

from processor.errors import KeyNotFound
from service.auth.principal import Scope
from service.calls import keys_examples as examples
from service.calls.keys_wire import ApiKeyAnswer, ApiKeyList, NewApiKeyAnswer, NewApiKeyRequest, RotateRequest
from service.calls.limits import LIMITS, LimitsAnswer, OverridesRequest
from service.openapi.parts import body, call, json_answer, path_parameter, post


def access_paths() -> dict[str, PathItem]:
    """Every call about keys and limits."""
    return {
        "/images/limits": PathItem(
            get=call(
                Scope.READ,
                operationId="getLimits",
                tags=["access"],
                summary="See what the tenant may use and has used",
                responses={"200": json_answer("The limits", LimitsAnswer, LIMITS)},
            ),
            put=call(
                Scope.ADMIN,
                "400",
                "408",
                "413",
                "415",
                operationId="overrideLimits",
                tags=["access"],
                summary="Give the tenant limits of its own",
                description="What is left out is everybody's again. It holds within seconds.",
                requestBody=body(OverridesRequest),
                responses={"200": json_answer("The limits", LimitsAnswer, LIMITS)},
            ),
        ),
        "/images/keys": PathItem(
            get=call(
                Scope.ADMIN,
                operationId="listApiKeys",
                tags=["access"],
                summary="List the tenant's API keys, newest first",
                responses={"200": json_answer("The keys", ApiKeyList, examples.KEYS)},
            ),
            post=post(
                Scope.ADMIN,
                "413",
                "415",
                operationId="createApiKey",
                tags=["access"],
                summary="Make an API key",
                description="Its text is in this answer alone.",
                requestBody=body(NewApiKeyRequest),
                responses={"201": json_answer("The key", NewApiKeyAnswer, examples.NEW_KEY)},
            ),
        ),
        "/images/keys/{keyId}": PathItem(
            delete=call(
                Scope.ADMIN,
                operationId="revokeApiKey",
                tags=["access"],
                summary="End an API key now",
                description="It may open the door for half a minute more. Repeating the call changes nothing.",
                parameters=[_key_id()],
                responses={"200": json_answer("The ended key", ApiKeyAnswer, examples.REVOKED_KEY)},
                not_found=KeyNotFound(),
            )
        ),
        "/images/keys/{keyId}/rotate": PathItem(
            post=post(
                Scope.ADMIN,
                "413",
                "415",
                operationId="rotateApiKey",
                tags=["access"],
                summary="Replace an API key by one with the same rights",
                description="The old one goes on for `grace` seconds, or until its own end if that is sooner.",
                parameters=[_key_id()],
                requestBody=body(RotateRequest, required=False),
                responses={"201": json_answer("The new key", NewApiKeyAnswer, examples.NEW_KEY)},
                not_found=KeyNotFound(),
            )
        ),
    }


def _key_id() -> Parameter:
    return path_parameter("keyId", "As answered when the key was made.", r"^[a-z2-7]{16}$")
