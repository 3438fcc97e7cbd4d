"""The receivers of the guide, as they stand there: each takes what the service signs, once, and refuses all else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from processor import clock
from processor.webhooks.signing import new_secret, signed

GUIDE = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text()
EVENT = "1767323055090-img_1767323045678_9f86d081884c7d65-0002"
BODY = json.dumps({"id": EVENT, "type": "image.completed", "data": {"uniqueId": "ü-1"}}).encode()
COMMANDS = {"python": [sys.executable, "-"], "javascript": [shutil.which("node") or "", "-"]}


@contextmanager
def receiver(language: str, secret: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its URL, and its process, of which it writes what it has taken."""
    if not COMMANDS[language][0]:
        pytest.skip("there is no Node.js here")
    (source,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    if language == "javascript":
        source = source.replace("process.env.PORT || 8000", "0")
    environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRET": secret, "PORT": "0", "PYTHONUTF8": "1"}
    with subprocess.Popen(
        COMMANDS[language], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(source)
        process.stdin.close()
        try:
            port = process.stdout.readline().split()[-1]
            yield f"http://127.0.0.1:{port}/", process
        finally:
            process.kill()


@pytest.mark.parametrize("language", COMMANDS)
def test_a_receiver_of_the_guide_takes_each_event_once_and_no_forged_one(language: str) -> None:
    secret, old, now = new_secret(), new_secret(), clock.now()
    good = signed(EVENT, BODY, now, [secret])
    with receiver(language, secret) as (url, process), requests.Session() as session:
        session.trust_env = False

        def status(body: bytes, headers: dict[str, str]) -> int:
            return session.post(url, data=body, headers=headers, timeout=180).status_code

        assert status(BODY, good) == 204
        assert status(BODY, signed(EVENT, BODY, now, [old, secret])) == 204  # a rotation; it was seen before
        assert status(BODY + b" ", good) == 401
        assert status(BODY, {**good, "webhook-id": "another"}) == 401
        assert status(BODY, signed(EVENT, BODY, now, [old])) == 401
        assert status(BODY, signed(EVENT, BODY, now - timedelta(minutes=6), [secret])) == 401
        assert status(BODY, {}) == 401
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read().splitlines() == ["image.completed ü-1"]
