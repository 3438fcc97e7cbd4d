"""The SBOM of the chart lists what is in the package, and checksums that whoever has the package finds again."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import helm_python
import pytest

from helm.bill import bill
from helm.rendering import CHART


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(helm_python.package(str(CHART), destination=str(tmp_path_factory.mktemp("chart"))))


def _checksum(of: Any, algorithm: str) -> str:
    (found,) = [each["checksumValue"] for each in of["checksums"] if each["algorithm"] == algorithm]
    return str(found)


def test_it_is_about_this_package(archive: Path) -> None:
    found = bill(archive)
    assert (found["spdxVersion"], found["SPDXID"]) == ("SPDX-2.3", "SPDXRef-DOCUMENT")
    (package,) = found["packages"]
    assert archive.name == package["packageFileName"] == f"{package['name']}-{package['versionInfo']}.tgz"
    assert _checksum(package, "SHA256") == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert package["licenseDeclared"] == "Apache-2.0"


def test_it_lists_every_file_once(archive: Path) -> None:
    found = bill(archive)
    with tarfile.open(archive) as packed:
        inside = {f"./{member.name.partition('/')[2]}": packed.extractfile(member) for member in packed}
        contents = {name: file.read() for name, file in inside.items() if file is not None}
    assert {each["fileName"] for each in found["files"]} == contents.keys()
    for each in found["files"]:
        assert _checksum(each, "SHA256") == hashlib.sha256(contents[each["fileName"]]).hexdigest()


def test_everything_in_it_is_of_the_package(archive: Path) -> None:
    found = bill(archive)
    (package,) = (each["SPDXID"] for each in found["packages"])
    of_package = {each["relatedSpdxElement"] for each in found["relationships"] if each["spdxElementId"] == package}
    assert of_package == {each["SPDXID"] for each in found["files"]}
    assert len(of_package) == len(found["files"])
    assert found["relationships"][0] == {
        "spdxElementId": found["SPDXID"],
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": package,
    }


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other-1.0.0.tgz"
    with tarfile.open(other, "w:gz") as packed:
        packed.add(CHART / "values.yaml", "other/values.yaml")
    with pytest.raises(KeyError, match=r"Chart\.yaml"):
        bill(other)
