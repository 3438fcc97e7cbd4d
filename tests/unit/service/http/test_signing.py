"""The key of private pictures out of a secret: id and key change together, and nobody is told what is in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from structlog.testing import capture_logs

from processor.errors import Unavailable
from service.http.links import Links, NoKey
from service.http.signing import SecretSigner
from tests.private_key import rsa_key
from tests.unit.service.http.test_links import BASE, KEY, NOW, query
from tests.waiting import eventually


def pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def secret(key_id: str, number: int = 0, **further: object) -> str:
    return json.dumps({"keyId": key_id, "privateKey": pem(rsa_key(number=number)), **further})


class Secret:
    """A secret that may be away."""

    def __init__(self, text: str) -> None:
        self.text: str | None = text
        self.read_times = 0

    async def read(self) -> str:
        self.read_times += 1
        if self.text is None:
            raise Unavailable
        return self.text


def key_of(signer: SecretSigner) -> Any:
    return query(Links(BASE, signer, NOW).url(KEY))["Key-Pair-Id"]


async def test_id_and_key_are_those_of_the_secret_and_change_together() -> None:
    kept, signer = Secret(secret("FIRST", comment="more")), SecretSigner(3600)
    with pytest.raises(Unavailable):
        _ = signer.current
    await signer.read(kept.read)
    first = signer.current
    await signer.read(kept.read)
    assert (first.key_id, signer.current is first) == ("FIRST", True)  # which remembers its signatures
    kept.text = secret("SECOND", 1)
    await signer.read(kept.read)
    url = Links(BASE, signer, NOW).url(KEY)
    assert query(url)["Key-Pair-Id"] == "SECOND"
    assert signer.current.admits(f"{BASE}/{KEY}", query(url), NOW)
    assert not first.admits(f"{BASE}/{KEY}", query(url), NOW)


async def test_one_key_signs_all_urls_of_an_answer() -> None:
    kept, signer = Secret(secret("FIRST")), SecretSigner(3600)
    await signer.read(kept.read)
    answer = Links(BASE, signer).now()
    kept.text = secret("SECOND", 1)
    await signer.read(kept.read)
    assert query(answer.url(KEY))["Key-Pair-Id"] == "FIRST"
    assert query(Links(BASE, signer).now().url(KEY))["Key-Pair-Id"] == "SECOND"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *((text, rsa_key) for text in ("", "no json", "[]", "null", "7", "[" * 100_000, "PEM")),
        (json.dumps({"keyId": "FIRST"}), rsa_key),
        (json.dumps({"keyId": "FIRST", "privateKey": 7}), rsa_key),
        (json.dumps({"keyId": 7, "privateKey": "PEM"}), rsa_key),
        (json.dumps({"keyId": "no/id", "privateKey": "PEM"}), rsa_key),
        (json.dumps({"keyId": "FIRST", "privateKey": "-----BEGIN PRIVATE KEY-----"}), rsa_key),
        (json.dumps({"keyId": "FIRST", "privateKey": "PEM"}), lambda: rsa_key(4096)),
        (json.dumps({"keyId": "FIRST", "privateKey": "PEM"}), lambda: ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
async def test_what_is_no_key_is_refused_and_told_to_nobody(text: str, key: Callable[[], PrivateKeyTypes]) -> None:
    signer = SecretSigner(3600)
    text = text.replace("PEM", json.dumps(pem(key()))[1:-1])
    with pytest.raises(NoKey) as refused:
        await signer.read(Secret(text).read)
    assert (str(refused.value), refused.value.__cause__) == ("", None)


async def test_a_replaced_key_is_taken_and_one_that_cannot_be_read_leaves_the_one_before() -> None:
    kept, signer = Secret(secret("FIRST")), SecretSigner(3600)
    await signer.read(kept.read)

    async def read_again() -> bool:
        return kept.read_times > seen

    async def is_second() -> bool:
        return bool(key_of(signer) == "SECOND")

    with capture_logs() as lines:
        following = asyncio.create_task(signer.follow(kept.read, every_seconds=0.001))
        for broken in (None, "no key"):
            kept.text, seen = broken, kept.read_times + 1
            await eventually(read_again, what="another look at the secret")
            assert key_of(signer) == "FIRST"
        kept.text = secret("SECOND", 1)
        await eventually(is_second, what="the new key")
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    assert {line["event"].partition(" not ")[0] for line in lines if line["log_level"] == "warning"} == {
        "Key of private pictures"
    }
    assert [line["keyId"] for line in lines if line["log_level"] == "info"] == ["SECOND"]
    assert "PRIVATE KEY" not in f"{lines}{signer!r}{signer.current!r}"
