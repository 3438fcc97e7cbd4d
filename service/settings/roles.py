"""The setting for the roles of a process."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from service.commas import comma_separated


class Role(StrEnum):
    """What a process does."""

    API = "api"
    WORKER = "worker"


class RoleSettings(BaseModel):
    """The settings of one component."""

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
