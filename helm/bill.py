"""What is in a packaged chart, as an SBOM (SPDX 2.3, JSON): `python3 -m helm.bill image-service-0.1.0.tgz`."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: The whole document, by the name that SPDX gives it.
DOCUMENT = "SPDXRef-DOCUMENT"


def bill(archive: Path) -> dict[str, Any]:
    """Every file of the chart with its checksums. Raises `KeyError` when the archive holds no chart."""
    contents = _contents(archive)
    name, version, license_ = _said(contents["Chart.yaml"].decode())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    package = f"SPDXRef-Package-{name}"
    files = [_file(path, content) for path, content in sorted(contents.items())]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": f"{name}-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{version}-{digest}",
        "creationInfo": {
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: python -m helm.bill"],
        },
        "packages": [
            {
                "SPDXID": package,
                "name": name,
                "versionInfo": version,
                "packageFileName": archive.name,
                "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
                "downloadLocation": "NOASSERTION",
                "licenseDeclared": license_,
                "licenseConcluded": license_,
                "copyrightText": "NOASSERTION",
                "filesAnalyzed": True,
                "packageVerificationCode": {"packageVerificationCodeValue": _verification_code(contents)},
            }
        ],
        "files": files,
        "relationships": [
            _relationship(DOCUMENT, "DESCRIBES", package),
            *(_relationship(package, "CONTAINS", each["SPDXID"]) for each in files),
        ],
    }


def _contents(archive: Path) -> dict[str, bytes]:
    """The files by their path in the chart."""
    with tarfile.open(archive) as packed:
        members = [(member.name.partition("/")[2], packed.extractfile(member)) for member in packed if member.isfile()]
        return {path: content.read() for path, content in members if content is not None}


def _said(chart: str) -> tuple[str, str, str]:
    """Name, version and licence. The machine that publishes has no reader of YAML, and these are plain lines."""
    found = dict(re.findall(r"^ *(name|version|licenses): (\S+)$", chart, re.MULTILINE))
    return found["name"], found["version"], found["licenses"]


def _file(path: str, content: bytes) -> dict[str, Any]:
    return {
        "SPDXID": f"SPDXRef-File-{_sha1(path.encode())}",
        "fileName": f"./{path}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": _sha1(content)},  # SPDX 2.3 asks for it
            {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
        ],
        "licenseConcluded": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def _verification_code(contents: Mapping[str, bytes]) -> str:
    """SPDX 2.3, 7.9: the SHA-1 of the files' SHA-1, sorted."""
    return _sha1("".join(sorted(map(_sha1, contents.values()))).encode())


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1])), sys.stdout, indent=2)
