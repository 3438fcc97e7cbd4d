"""The examples in their own frameworks: React, Next's loader, Django, the CDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml

from docs.generate import ROOT
from tests import corpus
from tests.clients.conftest import run
from tests.e2e.conftest import LocalService

EXAMPLES = ROOT / "examples"
PYTHON = ROOT / "build" / "examples" / "bin" / "python"

SHOP = """
import os
import sys

import django
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.db import connection, models
from django.db.migrations.writer import MigrationWriter
from truss_field import TrussImage, TrussImageField
from truss_image_client import Client


class Product(models.Model):
    picture = TrussImageField(null=True, blank=True, preset="standard")

    class Meta:
        app_label = "shop"


with connection.schema_editor() as editor:
    editor.create_model(Product)

upload = SimpleUploadedFile("photo.jpg", open("photo.jpg", "rb").read(), content_type="image/jpeg")
for picture in (upload, "photo.jpg", open("photo.jpg", "rb").read()):
    product = Product(picture=picture)
    product.save()
    found = Product.objects.get(pk=product.pk)
    assert isinstance(found.picture, TrussImage), found.picture
    assert found.picture == product.picture
    found.save()  # nothing is uploaded again
    assert Product.objects.get(pk=product.pk).picture == found.picture
    with Client() as images:
        job = images.wait(found.picture.processing_id)
    assert job.processed_images["thumbnail"].url == found.picture.urls["thumbnail"]
assert Product.objects.get(pk=Product.objects.create().pk).picture is None
assert Product.objects.filter(picture__isnull=False).count() == 3
assert "preset='standard'" in MigrationWriter.serialize(Product._meta.get_field("picture"))[0]
print("uploaded", job.filename)
"""

LOADER = """
import assert from "node:assert/strict";
import load from "./loader.mjs";

const src = "https://images.example.com/processed/u/img_1_a/webp.webp";
const asked = { thumbnail: [16, 300], medium: [301, 800], large: [1080, 1920], webp: [3840] };
for (const [name, widths] of Object.entries(asked)) {
  for (const width of widths) assert.equal(load({ src, width }), `https://images.example.com/processed/u/img_1_a/${name}.webp`);
}
"""


@pytest.fixture
def python() -> Path:
    if not PYTHON.exists():
        pytest.skip("the examples' packages are not installed: run `make clients`")
    return PYTHON


def test_the_react_page_has_no_wrong_type_and_is_bundled(typescript: Path, tmp_path: Path) -> None:
    del typescript  # its types are needed
    react = EXAMPLES / "react"
    if not (react / "node_modules").exists():
        pytest.skip("React is not installed: run `make clients`")
    run(["npm", "run", "--silent", "check"], react)
    run(["npm", "run", "--silent", "build", "--", f"--outdir={tmp_path}", "--log-level=warning", "--minify"], react)
    assert "truss" not in (react / "index.html").read_text().partition("<script")[2]
    assert "/images/upload-url" in (tmp_path / "main.js").read_text()


def test_the_loader_chooses_the_smallest_variant_that_is_wide_enough(typescript: Path, tmp_path: Path) -> None:
    del typescript  # Node is there
    (tmp_path / "loader.mjs").write_text((EXAMPLES / "nextjs" / "loader.js").read_text())
    (tmp_path / "ask.mjs").write_text(LOADER)
    run(["node", "ask.mjs"], tmp_path)


async def test_a_field_of_django_uploads_what_is_assigned_to_it(
    python: Path, service: LocalService, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(corpus.jpeg(corpus.photo(320, 240)))
    (tmp_path / "shop.py").write_text(SHOP)
    path = f"{EXAMPLES / 'django'}:{ROOT / 'clients' / 'python'}"
    said = await asyncio.to_thread(
        run, [python, "-W", "ignore", "shop.py"], tmp_path, PYTHONPATH=path, TRUSS_IMAGE_URL=service.url
    )
    assert "uploaded image" in said


def test_the_cdk_makes_the_template_as_it_is(python: Path, tmp_path: Path) -> None:
    run([python, EXAMPLES / "cdk" / "stack.py"], tmp_path, CDK_OUTDIR=str(tmp_path / "out"))
    made = json.loads((tmp_path / "out" / "truss-image-dev.template.json").read_text())
    template: Any = cfn_yaml.load(str(ROOT / "infra" / "cloudformation" / "image-service.yaml"))
    assert {name: each["Type"] for name, each in made["Resources"].items()} == {
        name: each["Type"] for name, each in template["Resources"].items()
    }
    assert set(made["Outputs"]) == set(template["Outputs"])
    changed = {
        name: each["Default"]
        for name, each in made["Parameters"].items()
        if str(each["Default"]) != str(template["Parameters"][name]["Default"])
    }
    assert changed == {"PodIdentityCluster": "apps", "CorsOrigins": "https://app.example.com"}
