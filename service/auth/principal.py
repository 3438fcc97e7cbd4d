"""Who calls, and what they may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

#: Names of tenants become parts of keys in the table, where other characters have a meaning.
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Scope(StrEnum):
    """What a caller may be allowed to do."""

    READ = "images:read"
    WRITE = "images:write"
    DELETE = "images:delete"
    #: Everything, for every tenant: whoever runs the service.
    ADMIN = "images:admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls: proven by a token or a key."""

    tenant: str
    scopes: frozenset[Scope]
    #: For logs and limits: `user:<sub>`, `client:<client id>` or `key:<key id>`; never a secret.
    subject: str

    def may(self, scope: Scope) -> bool:
        """An administrator may do everything."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def is_tenant(name: str) -> bool:
    """Whether this can be the name of a tenant."""
    return _TENANT.fullmatch(name) is not None
