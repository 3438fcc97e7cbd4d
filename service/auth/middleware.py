"""Finds the caller, the tenant and the scope of every request, and decides whether it is allowed."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from structlog.contextvars import bind_contextvars

from processor.costs import CALLER
from service.auth.authenticator import AUTHENTICATOR
from service.auth.principal import Principal, Scope, is_tenant
from service.http.near_misses import nearly
from service.http.problems import LONGEST_SHOWN, Forbidden, Unauthenticated

#: With this an administrator acts for another tenant than its own.
TENANT_HEADER = "X-Tenant"
#: What a call asks of its caller, by method and path pattern; None: nothing.
Needs = Mapping[tuple[str, str], Scope | None]

_PRINCIPAL = web.RequestKey("principal", Principal)
_SCOPE = web.RequestKey("scope", Scope)
_TENANT = web.RequestKey("tenant", str)

log = structlog.get_logger(__name__)


def authentication(needs: Needs) -> Middleware:
    """Authenticate and decide; nothing else does. A route without a scope is a defect, and closed."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        CALLER.set("")  # a connection may have had another caller before
        if _is_open(request):
            return await handler(request)
        scope = needs[_call(request)]
        if scope is not None:
            request[_SCOPE] = scope
            await _identify(request)
        return await handler(request)

    return authenticate


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the scope, after the rate limit, so that refused requests count too."""
    principal = find_principal(request)
    if principal is not None:
        if not principal.may(request[_SCOPE]):
            log.info("Caller not authorized", scope=request[_SCOPE].value)
            raise Forbidden
        request[_TENANT] = _acting_for(request, principal)
        bind_contextvars(tenant=request[_TENANT])
    return await handler(request)


def find_principal(request: web.Request) -> Principal | None:
    """The caller; None for a public call."""
    return request.get(_PRINCIPAL)


def require(request: web.Request, scope: Scope) -> None:
    """For what a call shows only to some of its callers. Raises `Forbidden`."""
    principal = find_principal(request)
    if principal is None or not principal.may(scope):
        log.info("Caller not authorized", scope=scope.value)
        raise Forbidden(f"These credentials lack the scope {scope.value}.")


def subject_of(request: web.Request) -> str:
    """Who calls, for records; empty for a public call."""
    principal = find_principal(request)
    return "" if principal is None else principal.subject


def scopes_of(request: web.Request) -> list[Scope]:
    """What the caller may do: an administrator everything."""
    principal = find_principal(request)
    return [] if principal is None else [scope for scope in Scope if principal.may(scope)]


def tenant_of(request: web.Request) -> str:
    """The tenant of the request; not for public calls."""
    return request[_TENANT]


def is_administrator(request: web.Request) -> bool:
    """Whether the caller runs the service."""
    principal = find_principal(request)
    return principal is not None and principal.may(Scope.ADMIN)


def _is_open(request: web.Request) -> bool:
    return request.match_info.http_exception is not None


def _call(request: web.Request) -> tuple[str, str]:
    resource = request.match_info.route.resource
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return method, "" if resource is None else resource.canonical


async def _identify(request: web.Request) -> None:
    try:
        principal = await request.app[AUTHENTICATOR].authenticate(request.headers)
    except Unauthenticated as error:
        log.info("Caller not authenticated", reason=error.reason)
        raise
    bind_contextvars(subject=principal.subject)
    CALLER.set(principal.key_id)
    request[_PRINCIPAL] = principal


def _acting_for(request: web.Request, principal: Principal) -> str:
    """The tenant of the credentials, unless an administrator names another one."""
    named = request.headers.getall(TENANT_HEADER, [])
    if not named:
        misspelled = nearly(TENANT_HEADER, request.headers) if Scope.ADMIN in principal.scopes else None
        if misspelled is not None:
            raise Forbidden(f"The header {misspelled[:LONGEST_SHOWN]} is not known here, but {TENANT_HEADER} is.")
        return principal.tenant
    if Scope.ADMIN not in principal.scopes or len(named) > 1 or not is_tenant(named[0]):
        raise Forbidden
    return named[0]
