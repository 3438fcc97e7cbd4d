"""Which proxy a call goes through."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from service.client.address import is_loopback


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL; none for this machine, and for what `NO_PROXY` names.

    Raises `ValueError` for a proxy that does not speak HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(f"{host}:{parts.port}" if parts.port else host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ValueError("the proxy does not speak HTTP")
    return proxy
