"""No log line shows a secret: what one looks like, for the guard over the whole suite."""

from __future__ import annotations

import re

#: API keys, signatures and tokens of presigned URLs and requests, JWTs, credentials as headers.
SECRETS = re.compile(
    r"truss_[a-z2-7]{16}_[A-Za-z0-9_-]{43,51}"
    r"|X-Amz-(Signature|Security-Token)=[^\s.&]{8}"
    r"|Signature=[0-9a-f]{64}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\."
    r"|(?i:authorization|x-api-key|cookie)['\"]?[:=]\s*['\"]?(?i:bearer\s+)?[\w-]{16,}"
)


def secret_in(text: str, *known: str) -> str | None:
    """What gives a secret away, cut short; None when nothing does. `known` are secrets of this run."""
    found = SECRETS.search(text)
    if found is not None:
        return f"{found[0][:24]}..."
    return next((f"{each[:4]}..." for each in known if each and each in text), None)
