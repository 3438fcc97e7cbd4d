"""Who calls, and what they may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

#: The owner of everything while callers are not told apart, and of whatever a single-tenant installation holds.
DEFAULT_TENANT = "default"
#: How long a key that was replaced still works, in seconds, unless its owner says otherwise: a day.
DEFAULT_GRACE_SECONDS = 24 * 3600
#: Names of tenants become parts of keys in the table, where other characters have a meaning.
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class Scope(StrEnum):
    """What a caller may be allowed to do."""

    READ = "images:read"
    WRITE = "images:write"
    DELETE = "images:delete"
    #: Seeing where pictures were taken, beside what `READ` shows.
    POSITION = "images:position"
    #: Looking at images that are held for a review, and deciding about them.
    REVIEW = "images:review"
    #: Everything, for every tenant: whoever runs the service.
    ADMIN = "images:admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls: proven by a token or a key."""

    tenant: str
    scopes: frozenset[Scope]
    #: For logs and limits: `user:<sub>`, `client:<client id>` or `key:<key id>`; never a secret.
    subject: str

    @property
    def key_id(self) -> str:
        """The id of its API key; empty if it has none."""
        kind, _, name = self.subject.partition(":")
        return name if kind == "key" else ""

    def may(self, scope: Scope) -> bool:
        """An administrator may do everything."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def is_tenant(name: str) -> bool:
    """Whether this can be the name of a tenant."""
    return _TENANT.fullmatch(name) is not None
