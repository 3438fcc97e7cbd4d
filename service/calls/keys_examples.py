"""Examples of answers about keys."""

from __future__ import annotations

from dataclasses import replace

from processor import clock
from processor.ports.keys import ApiKey
from service.auth.api_keys import Minted
from service.auth.principal import Scope
from service.calls.keys_wire import ApiKeyAnswer, ApiKeyList, NewApiKeyAnswer

_KEY = ApiKey(
    key_id="k3v7q2mzt5x6wabn",
    tenant="acme",
    name="importer",
    scopes=(Scope.READ, Scope.WRITE),
    digest="",
    created_at=clock.from_iso("2026-01-02T03:04:05.678Z"),
    last_used_at=clock.from_iso("2026-01-02T10:00:00.000Z"),
)
_REVOKED = replace(_KEY, revoked_at=clock.from_iso("2026-02-03T04:05:06.789Z"))

KEYS = ApiKeyList.of([_KEY])
REVOKED_KEY = ApiKeyAnswer.of(_REVOKED)
NEW_KEY = NewApiKeyAnswer.of_minted(
    Minted(
        key=replace(_KEY, last_used_at=None),
        token="truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXA",  # noqa: S106 - opens nothing
    )
)
