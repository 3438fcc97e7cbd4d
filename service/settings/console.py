"""The settings of the page for people."""

from __future__ import annotations

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
