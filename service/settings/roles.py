"""The setting that says what a process does."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from service.commas import comma_separated


class Role(StrEnum):
    """A part of the service that a process may play."""

    API = "api"
    WORKER = "worker"


class RoleSettings(BaseModel):
    """A part of the whole configuration."""

    roles: Annotated[
        frozenset[Role],
        BeforeValidator(comma_separated),
        Field(
            alias="ROLES",
            min_length=1,
            description="What this process does, by commas: `api` (answers requests), `worker` (converts images).",
        ),
    ] = frozenset(Role)

    @property
    def serves(self) -> bool:
        """Whether this process answers the API."""
        return Role.API in self.roles

    @property
    def converts(self) -> bool:
        """Whether this process takes messages and converts images."""
        return Role.WORKER in self.roles
