"""Lets commands reach the running local mode, if no variable describes a service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from processor.stores.config import AwsCredentials
    from service.config import Settings


def running_locally() -> tuple[Settings, AwsCredentials]:
    """Its settings, and credentials for everything in it; says so. Ends the command when there is none."""
    from service.config import SettingsError
    from service.local import LocalError
    from service.local.run import settings_of_running

    try:
        settings, credentials = settings_of_running(os.environ)
    except (LocalError, SettingsError) as error:
        raise click.ClickException(f"no variable describes a service: {error}") from None
    click.echo(f"Working on the local mode at {settings.cloudfront_url}", err=True)
    return settings, credentials
