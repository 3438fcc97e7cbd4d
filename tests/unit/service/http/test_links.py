"""URLs of variants: public ones as they are, private ones as CloudFront checks them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA1
from hypothesis import given
from hypothesis import strategies as st

from service.config import SettingsError
from service.http.links import STEPS, Links, NoKey, Signer, read_key
from tests.integration.http.conftest import make_settings
from tests.private_key import KEY_ID, rsa_key, written
from tests.searching import searching

BASE = "https://images.example.com"
KEY = "private/6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e/img_1_a/webp.webp"
NOW = 1_800_000_000.0


def signer(seconds: int = 3600, number: int = 0, key_id: str = KEY_ID) -> Signer:
    return Signer(key_id, rsa_key(number=number), seconds)


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def test_a_public_key_is_a_url_as_it_stands_and_never_ends() -> None:
    links = Links(BASE, signer())
    assert links.url("processed/a/b/webp.webp") == f"{BASE}/processed/a/b/webp.webp"
    assert links.expires_at("processed/a/b/webp.webp") is None


def test_a_private_url_is_what_the_sdk_of_aws_makes() -> None:
    links = Links(BASE, signer(), NOW)
    ends = links.expires_at(KEY)
    assert ends is not None

    def sign(message: bytes) -> bytes:
        return rsa_key().sign(message, padding.PKCS1v15(), SHA1())

    assert links.url(KEY) == CloudFrontSigner(KEY_ID, sign).generate_presigned_url(f"{BASE}/{KEY}", date_less_than=ends)


def test_without_a_signer_a_private_url_opens_nothing() -> None:
    assert Links(BASE).url(KEY) == f"{BASE}/{KEY}"
    assert Links(BASE).expires_at(KEY) is None


@given(st.integers(60, 604800), st.floats(1_700_000_000, 2_000_000_000))
@searching(100)
def test_a_url_works_for_three_quarters_of_its_time_at_least_and_for_all_of_it_at_most(
    seconds: int, now: float
) -> None:
    left = signer(seconds).expiry(now) - now
    assert seconds * (1 - 1 / STEPS) - 1 <= left <= seconds


def test_a_url_is_the_same_for_a_quarter_of_its_time() -> None:
    known = signer()
    assert {known.expiry(NOW + each) for each in range(0, 900, 100)} == {known.expiry(NOW)}
    assert known.expiry(NOW + 900) > known.expiry(NOW)


def test_a_signature_opens_one_url_until_its_end() -> None:
    known = signer()
    url = f"{BASE}/{KEY}"
    expires = known.expiry(NOW)
    given_ = query(known.signed(url, expires))
    assert known.admits(url, given_, NOW)
    assert not known.admits(url, given_, expires)
    assert not known.admits(url.replace("webp.webp", "large.webp"), given_, NOW)
    assert not known.admits(url, {**given_, "Expires": str(expires + 1)}, NOW)
    assert not known.admits(url, {**given_, "Key-Pair-Id": "OTHER"}, NOW)
    assert not signer(number=1).admits(url, given_, NOW)


@pytest.mark.parametrize("name", ["Expires", "Signature", "Key-Pair-Id"])
@pytest.mark.parametrize("value", ["", "a", "-1", "9" * 400, "٣", "=", "~~", "A" * 344])
def test_nonsense_opens_nothing(name: str, value: str) -> None:
    known, url = signer(), f"{BASE}/{KEY}"
    good = query(known.signed(url, known.expiry(NOW)))
    assert not known.admits(url, {**good, name: value}, NOW)
    assert not known.admits(url, {each: good[each] for each in good if each != name}, NOW)


def test_a_file_that_is_no_key_of_the_right_size_is_named_and_not_shown(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text("a secret that is no key")
    for path in (other, tmp_path / "missing", written(tmp_path, rsa_key(1024))):
        with pytest.raises(NoKey):
            read_key(str(path))
    environment = {"PRIVATE_KEY_ID": KEY_ID, "PRIVATE_KEY_FILE": str(other)}
    with pytest.raises(SettingsError, match="PRIVATE_KEY_FILE") as refused:
        type(make_settings()).from_env({**_SOMEWHERE, **environment})
    assert "secret" not in str(refused.value)
    with pytest.raises(SettingsError, match="one is nothing without the other"):
        type(make_settings()).from_env({**_SOMEWHERE, "PRIVATE_KEY_ID": KEY_ID})


_SOMEWHERE = {
    "SOURCE_BUCKET": "source",
    "PROCESSED_BUCKET": "processed",
    "PROCESSING_TABLE": "table",
    "QUEUE_URL": "http://127.0.0.1/queue",
    "CLOUDFRONT_URL": "https://cdn.example",
    "AUTH_MODES": "none",
}


def test_the_key_is_in_no_text_that_is_logged(tmp_path: Path) -> None:
    settings = make_settings(private_key_id=KEY_ID, private_key_file=str(written(tmp_path)))
    assert "PRIVATE KEY" not in repr(settings.links) + repr(settings)
