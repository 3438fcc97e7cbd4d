"""The key of the local mode: made once, for its owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

from service.http.links import read_key
from service.local.private_key import local_private_key


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = local_private_key(tmp_path)
    made = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert local_private_key(tmp_path).read_bytes() == made
    assert read_key(str(path)).key_size == 2048


def test_a_file_that_is_no_key_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "private-key.pem").write_text("half a k")
    assert read_key(str(local_private_key(tmp_path))).key_size == 2048
