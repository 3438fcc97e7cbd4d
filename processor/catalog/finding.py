"""Finds images of a tenant by their file name and by what they show, among those of a listing."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from processor.jobs import Job
from processor.ports.jobs import JobPage, JobQuery

#: The most images that one page looks at.
MOST_SEARCHED = 1000
#: Images that are read at once.
_PAGE = 100

List = Callable[[JobQuery], Awaitable[JobPage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an image must have; without both, every image has it. Capitals are not told apart."""

    #: A piece of its file name.
    name: str | None = None
    #: One of its tags, or of the keywords in its metadata, as a whole.
    tag: str | None = None

    @property
    def is_everything(self) -> bool:
        return self.name is None and self.tag is None

    def matches(self, job: Job) -> bool:
        if self.name is not None and _folded(self.name) not in _folded(job.filename):
            return False
        return self.tag is None or _folded(self.tag) in {_folded(tag) for tag in _tags(job)}


EVERYTHING = Wanted()


async def find(listed: List, query: JobQuery, wanted: Wanted) -> JobPage:
    """A page of those images of a listing that are wanted.

    It looks at `MOST_SEARCHED` images, and no more once `limit` are found: it may be short, or empty, and go on all the
    same. Raises `Unavailable`.
    """
    if wanted.is_everything:
        return await listed(query)
    found: list[Job] = []
    after, read_bytes = query.after, 0
    for _ in range(MOST_SEARCHED // _PAGE):
        page = await listed(replace(query, limit=_PAGE, after=after))
        read_bytes += page.read_bytes
        after = page.next_after
        for job in filter(wanted.matches, page.jobs):
            found.append(job)
            if len(found) == query.limit:
                # The rest of what was read is read again for the next page.
                after = after if job is page.jobs[-1] else job.position
                return JobPage(jobs=tuple(found), next_after=after, read_bytes=read_bytes)
        if after is None:
            break
    return JobPage(jobs=tuple(found), next_after=after, read_bytes=read_bytes)


def _folded(text: str) -> str:
    """The same for spellings that look the same: macOS writes the dots of an ä apart."""
    return unicodedata.normalize("NFKC", text).casefold()


def _tags(job: Job) -> Iterator[str]:
    for tag in _items(job.facts.found.get("tags")):
        if isinstance(tag, dict) and isinstance(tag.get("name"), str):
            yield tag["name"]
    metadata = job.facts.own.get("metadata")
    if isinstance(metadata, dict):
        yield from (word for word in _items(metadata.get("keywords")) if isinstance(word, str))


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []
