"""The client for TypeScript: its own tests, its package, and the package with the real service."""

from __future__ import annotations

import asyncio
import re
import tarfile
from pathlib import Path

from tests import corpus
from tests.clients.conftest import TYPESCRIPT, run
from tests.e2e.conftest import LocalService

BLOCKS = re.findall(r"^```javascript\n(.*?)^```$", (TYPESCRIPT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

LARGE = """
import assert from "node:assert/strict";
import { openAsBlob } from "node:fs";
import { Client, NotFound, UploadFailed } from "truss-image-client";

// The page is closed as soon as one of its parts is there.
const stop = new AbortController();
const sent = [];
const counted = async (url, request) => {
  const response = await fetch(url, request);
  if (request.method !== "PUT") return response;
  sent.push(new URL(url).searchParams.get("partNumber"));
  stop.abort(new Error("closed"));
  return response;
};
const images = new Client({ baseUrl: process.env.TRUSS, fetch: counted });
const picture = await openAsBlob("large.png");
const options = { filename: "large.png", multipartBytes: 2 ** 20, idempotencyKey: "one-large-of-typescript" };
await assert.rejects(images.upload(picture, { ...options, signal: stop.signal }), /closed/);
const before = [...sent];
assert.ok(before.length > 0 && before.length < 3, before);
const told = [];
const uploaded = await images.upload(picture, { ...options, progress: (sent) => told.push(sent) });
assert.equal(new Set(sent).size, sent.length, "what was there is not sent again");
assert.equal(told.at(-1), picture.size);
assert.equal((await images.wait(uploaded.processingId)).processedImages.webp.width, 2600);
const again = await images.upload(picture, options);
assert.deepEqual([again.existing, again.processingId], [true, uploaded.processingId]);

// The storage holds whoever uploads to what was announced.
const issued = await images.createUploadUrl({ filename: "a.png", size: 3, checksumSha256: "A".repeat(43) + "=" });
const put = await fetch(issued.uploadUrl, { method: "PUT", body: "abc", headers: { "Content-Type": "image/png" } });
assert.equal(put.ok, false);

const gone = await images.deleteImages([uploaded.uniqueId]);
assert.deepEqual(gone.map((each) => each.status), [200]);
await assert.rejects(images.listProcessedImages(uploaded.uniqueId), NotFound);
"""

TYPED = """
import { Client, type Job, type Upload } from "truss-image-client";
import { type Event, verify } from "truss-image-client/webhooks";

const images = new Client({ baseUrl: "https://images.example.com" });
const uploaded: Promise<Upload> = images.upload(new Blob(["x"]), { preset: "avatar" });
const job: Promise<Job> = images.wait("img_1_a");
const event: Promise<Event> = verify("", {}, "whsec_");
// @ts-expect-error there is no such status
images.listImages({ status: "done" });
// @ts-expect-error a filename is needed
images.createUploadUrl({});
export { event, job, uploaded };
"""


def test_its_own_tests_pass(typescript: Path) -> None:
    said = run(["node", "--test", *sorted((typescript / "tests").glob("*.mjs"))], typescript)
    assert re.search(r"^# fail 0$", said, re.MULTILINE), said


def test_the_package_has_the_code_its_types_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        named = {name.removeprefix("package/") for name in archive.getnames()}
    sources = {path.stem for path in (TYPESCRIPT / "src").glob("*.ts")}
    assert {f"dist/{name}.js" for name in sources} | {f"dist/{name}.d.ts" for name in sources} <= named
    assert {"LICENSE", "README.md", "REFERENCE.md", "package.json"} <= named
    assert {name.partition("/")[0] for name in named} == {"LICENSE", "README.md", "dist", "package.json", "src"}


def test_a_typed_program_sees_the_types(project: Path) -> None:
    (project / "typed.ts").write_text(TYPED)
    compiler = TYPESCRIPT / "node_modules" / ".bin" / "tsc"
    options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2023,dom"]
    run([compiler, *options, "typed.ts"], project)


async def test_every_block_of_the_readme_runs_as_it_stands(project: Path, service: LocalService) -> None:
    (project / "photo.jpg").write_bytes(corpus.jpeg(corpus.photo(320, 240)))
    imports = re.compile(r"^import .*$", re.MULTILINE)
    program = "\n".join([*imports.findall("\n".join(BLOCKS)), *(imports.sub("", block) for block in BLOCKS)])
    (project / "readme.mjs").write_text(program.replace("http://127.0.0.1:8080", service.url))
    said = await asyncio.to_thread(run, ["node", "readme.mjs"], project)
    assert "thumbnail 300 225 http" in said
    assert "completed" in said


async def test_a_large_file_goes_on_where_it_was_broken_off(project: Path, service: LocalService) -> None:
    (project / "large.png").write_bytes(corpus.png(corpus.large(2_600, 2_600), compression=0))
    (project / "large.mjs").write_text(LARGE)
    await asyncio.to_thread(run, ["node", "large.mjs"], project, TRUSS=service.url)
