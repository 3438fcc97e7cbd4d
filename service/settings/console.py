"""The settings of the page for people."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from yarl import URL

from service.http.urls import BaseUrl
from service.settings.resources import Name


class ConsoleSettings(BaseModel):
    """The settings of one component."""

    console: Annotated[
        Literal["on", "off"],
        Field(
            alias="CONSOLE",
            description="Whether `/images/console` serves a page for people. The page holds no data: it calls the API "
            "with the credentials of whoever looks at it.",
        ),
    ] = "off"
    console_sign_in_url: Annotated[
        BaseUrl | None,
        Field(
            alias="CONSOLE_SIGN_IN_URL",
            description="Sign-in of the Cognito pool, as in `https://example.auth.eu-west-1.amazoncognito.com`; "
            "with `CONSOLE_CLIENT_ID`, people can sign in to the console with it.",
        ),
    ] = None
    console_client_id: Annotated[
        Name | None,
        Field(
            alias="CONSOLE_CLIENT_ID",
            description="App client of the pool, without a secret, that the console signs in with; it has to be among "
            "`COGNITO_CLIENT_IDS`.",
        ),
    ] = None

    def origins_of_sign_in(self) -> list[str]:
        """Where the page fetches tokens."""
        return [] if self.console_sign_in_url is None else [str(URL(self.console_sign_in_url).origin())]

    def complaints_about_sign_in(self, known_clients: Collection[str]) -> list[str]:
        """What the settings of the sign-in lack. `known_clients` are those whose tokens the service takes."""
        url, client = self.console_sign_in_url, self.console_client_id
        if url is None and client is None:
            return []
        if client is None:
            return ["CONSOLE_SIGN_IN_URL: needs CONSOLE_CLIENT_ID, the app client that the console signs in with"]
        if url is None:
            return ["CONSOLE_CLIENT_ID: needs CONSOLE_SIGN_IN_URL, the domain of the pool at which people sign in"]
        if client not in known_clients:
            return ["CONSOLE_CLIENT_ID: must be among COGNITO_CLIENT_IDS, or whoever has signed in is refused"]
        return []
