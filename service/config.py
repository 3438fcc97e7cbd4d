"""The settings: every environment variable that the service knows, checked once, handed on typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from aiohttp import web
from pydantic import ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from processor.looking.models import KEPT_BYTES, LOOK_BYTES
from service import machine
from service.auth.settings import AuthSettings
from service.http.links import Links
from service.http.settings import HttpSettings
from service.http.urls import without_password
from service.limits.settings import LimitSettings
from service.observe.settings import LogSettings
from service.settings.bulk import BulkSettings
from service.settings.console import ConsoleSettings
from service.settings.files import FileSettings
from service.settings.private import PrivateSettings
from service.settings.resources import ResourceSettings
from service.settings.roles import RoleSettings
from service.settings.work import LEAST_BUDGET_BYTES, WorkSettings
from service.webhooks.settings import WebhookSettings


class SettingsError(Exception):
    """The environment does not describe a service; the message names every bad variable."""


# The last has its fields first.
class Settings(
    AuthSettings,
    LimitSettings,
    LogSettings,
    FileSettings,
    WebhookSettings,
    PrivateSettings,
    BulkSettings,
    ConsoleSettings,
    WorkSettings,
    HttpSettings,
    ResourceSettings,
    RoleSettings,
):
    """The whole configuration: the settings of all components, each of which may be handed it as its own.

    A field's alias is its variable; its description goes into docs/settings.md.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings; an empty variable counts as missing. Raises `SettingsError`, which names every bad one."""
        aliases = [field.alias for field in cls.model_fields.values() if field.alias]
        given = {alias: environ[alias] for alias in aliases if environ.get(alias)}
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError("\n".join(_complaint(detail, given) for detail in error.errors())) from None
        if settings.complaints_about_keys:
            raise SettingsError(settings.complaints_about_keys)
        complaints = settings.complaints_about_access(settings.stage) + settings.complaints_about_sign_in(
            settings.cognito_client_ids
        )
        if complaints:
            raise SettingsError("\n".join(complaints))
        if settings.drain_seconds <= settings.process_timeout_seconds:
            raise SettingsError(
                f"DRAIN_SECONDS: got {settings.drain_seconds}; must exceed PROCESS_TIMEOUT_SECONDS "
                f"({settings.process_timeout_seconds}), because a conversion cannot be cut short"
            )
        return settings

    @classmethod
    def describes_a_service(cls, environ: Mapping[str, str]) -> bool:
        """Whether any variable is set that there is no default for."""
        return any(environ.get(str(field.alias)) for field in cls.model_fields.values() if field.is_required())

    @property
    def links(self) -> Links:
        """What makes the URLs of variants."""
        return Links(self.cloudfront_url, self.signer)

    @property
    def conversion_budget_bytes(self) -> int:
        """The memory for all conversions together, which one conversion may use alone. The rest is for files
        that wait."""
        return self.memory_budget_bytes - self._waiting_bytes

    @property
    def _waiting_bytes(self) -> int:
        """For files that wait for their conversion; and for those that wait for a further one, if there is any."""
        return self.max_upload_bytes * (2 if self.recipe.further else 1)

    @property
    def _looking_bytes(self) -> int:
        """For the models, which stay loaded, and for every thread that looks."""
        return 0 if self.models_dir is None else KEPT_BYTES + LOOK_BYTES * self.worker_threads

    @property
    def told_conversion_budget_bytes(self) -> int | None:
        """The same for the API; None if other processes convert and no variable says how much they may use."""
        told = self.converts or "memory_budget_bytes" in self.model_fields_set
        return self.conversion_budget_bytes if told else None

    def affordable(self, memory_limit_bytes: int | None) -> Self:
        """The settings with a budget that fits into the container beside the process itself. A process that converts
        nothing needs no budget.

        Raises `SettingsError` when it has no room for the largest file and a photograph.
        """
        if not self.converts:
            return self
        left = self.memory_budget_bytes
        if memory_limit_bytes is not None:
            left = min(left, max(0, memory_limit_bytes - machine.OWN_BYTES - self._looking_bytes))
        least = self._waiting_bytes + LEAST_BUDGET_BYTES
        if left < least:
            limit = "none" if memory_limit_bytes is None else f"{memory_limit_bytes} bytes"
            raise SettingsError(
                f"MEMORY_BUDGET_BYTES: {left} bytes are left for images and their files, and MAX_UPLOAD_BYTES and a "
                f"small photograph take {least} (limit of the container: {limit}; the process itself takes "
                f"{machine.OWN_BYTES + self._looking_bytes})"
            )
        return self.model_copy(update={"memory_budget_bytes": left})

    @classmethod
    def variables(cls) -> dict[str, FieldInfo]:
        return {str(field.alias): field for field in cls.model_fields.values()}

    @classmethod
    def table(cls, *, required: bool = False) -> str:
        """The settings as a Markdown table, for docs/settings.md; or those alone that must be set."""
        fields = cls.variables().items()
        if required:
            rows = [f"| `{variable}` | {field.description} |" for variable, field in fields if field.is_required()]
            return "\n".join(("| variable | meaning |", "| --- | --- |", *rows))
        rows = [f"| `{variable}` | {_default(field)} | {field.description} |" for variable, field in fields]
        return "\n".join(("| variable | default | meaning |", "| --- | --- | --- |", *rows))


SETTINGS = web.AppKey("settings", Settings)

#: What defaults are that the machine decides, for people.
_DERIVED = {"WORKER_THREADS": "processors", "MEMORY_BUDGET_BYTES": "what the container leaves"}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return _DERIVED.get(str(field.alias), "")
    value = field.default
    if isinstance(value, tuple | frozenset):
        value = ",".join(map(str, value if isinstance(value, tuple) else sorted(value)))
    return "" if value in (None, "") else f"`{value}`"


def _complaint(detail: ErrorDetails, given: Mapping[str, str]) -> str:
    """`NAME: got 'value'; what is allowed`."""
    name = str(detail["loc"][0])
    allowed = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{name}: got {without_password(given[name])!r}; {allowed}" if name in given else f"{name}: is required"
