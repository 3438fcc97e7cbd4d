"""A store of jobs and images in the DynamoDB table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from processor import clock
from processor.costs import NOTHING, Cost
from processor.errors import Busy, Conflict, ImageNotFound, JobNotFound, LeaseLost, RecordChanged, Unavailable
from processor.images import StoredVariant
from processor.jobs import (
    ACCEPT,
    AMEND,
    CLAIM,
    DECIDE,
    EXTEND,
    FAIL,
    FINISH,
    HOLD,
    NOT_THE_FILES_FAULT,
    PUBLISH,
    TAKE_UP,
    Decision,
    Failure,
    Image,
    Job,
    JobStatus,
    Lease,
    Source,
    Transition,
    arrived,
    began_at,
    ended_at,
    overtaken_at,
    superseded,
)
from processor.moments import Moment
from processor.ports.jobs import JobPage, JobQuery
from processor.stores.codec import RECORDS, seconds_value
from processor.stores.costs import counting
from processor.stores.listing import list_jobs
from processor.stores.records import (
    INDEX_ATTRIBUTES,
    Item,
    change_attributes,
    digest_attributes,
    image_from_item,
    image_item,
    image_key,
    index_attributes,
    job_from_item,
    job_item,
    job_key,
    outcome_values,
    secret_key,
)
from processor.stores.schema import BY_DIGEST, KEY, TTL, digest_key
from processor.stores.shared_secrets import shared_secret
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Delete, Put, Update, attributes

#: Jobs before the current one that stay listed. An index that lacks so many newer ones is minutes behind.
KEPT_ROWS = 2
#: The most jobs with the same file that are read. One is enough, unless it was replaced a moment ago.
MAX_FOUND = 5
#: The form of our ids. Others, which a URL or a message may have, are not worth a call.
_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
_JOB_ID = re.compile(r"img_[0-9A-Za-z_-]{1,100}")

# -- clauses: the conditions of writes -------------------------------------------------------------------------------

#: The record exists and has not expired: AWS may take days to remove expired records.
LIVING = "attribute_exists(#processingId) AND (attribute_not_exists(#ttl) OR #ttl > :present)"
#: The job is the current job of its image. Older jobs may still be listed, because an index lags.
CURRENT = "attribute_exists(#claimKey)"
#: The image is not deleted.
UNDELETED = "attribute_not_exists(#deletedAt)"
#: The image has not changed since it was read.
UNCHANGED = "#currentJob = :currentJob"


def _out_of(transition: Transition) -> str:
    """The job has a status from which the transition is legal; `_statuses` has the values."""
    return f"#status IN ({', '.join(f':{name}' for name in _statuses(transition))})"


def _statuses(transition: Transition) -> Mapping[str, str]:
    return {status.name.lower(): status.value for status in sorted(transition.sources)}


def _begun(job: Job) -> Mapping[str, Any]:
    """What a claim writes beside the status, of a job that was claimed in the write that made it known."""
    return {"lease": RECORDS.encode(job.lease), "attempts": job.attempts, "maker": job.maker} if job.lease else {}


#: Adds one moment to the journal; `_more` has the values.
MORE_MOMENTS = "#moments = list_append(if_not_exists(#moments, :nothing), :more)"


def _more(moment: Moment) -> Mapping[str, Any]:
    return {"nothing": [], "more": [moment.to_text()]}


#: No lease is valid.
FREE = "(attribute_not_exists(#lease) OR #lease.#expiresAt < :now)"


class DynamoJobStore:
    """Jobs and images in the table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    # -- reading

    async def get_image(self, tenant: str, unique_id: str) -> Image:
        """Consistent read. Raises `ImageNotFound`, `Unavailable`."""
        image = await self.image_of_any_tenant(unique_id)
        if image.tenant != tenant:
            raise ImageNotFound
        return image

    async def get_job(self, tenant: str, processing_id: str) -> Job:
        """Consistent read. Raises `JobNotFound`, `Unavailable`."""
        job = await self.job_of_any_tenant(processing_id)
        if job.tenant != tenant:
            raise JobNotFound
        return job

    async def image_of_any_tenant(self, unique_id: str) -> Image:
        """Consistent read. Raises `ImageNotFound`, `Unavailable`."""
        item = await self._table.get(image_key(unique_id)) if _ID.fullmatch(unique_id) else None
        if item is None:
            raise ImageNotFound
        return image_from_item(item)

    async def job_of_any_tenant(self, processing_id: str) -> Job:
        """Consistent read. Raises `JobNotFound`, `Unavailable`."""
        item = await self._table.get(job_key(processing_id)) if _JOB_ID.fullmatch(processing_id) else None
        if item is None:
            raise JobNotFound
        return job_from_item(item)

    async def list(self, query: JobQuery) -> JobPage:
        """Queries an index. Raises `Unavailable`."""
        return await list_jobs(self._table, query)

    async def find_completed(self, tenant: str, sha256: str) -> tuple[str, ...]:
        """Queries the index by digest. Raises `Unavailable`."""
        condition = "#digestKey = :digestKey"
        page = await self._table.query(
            lambda item: str(item[KEY]),
            tenant,
            IndexName=BY_DIGEST,
            KeyConditionExpression=condition,
            ScanIndexForward=False,
            Limit=MAX_FOUND,
            **attributes(condition, {"digestKey": digest_key(tenant, sha256)}),
        )
        return tuple(page.rows)

    async def ping(self) -> None:
        """Raises `Unavailable` if the table cannot be read."""
        await self._table.get(secret_key("ping"))

    # -- an image and its jobs, together

    async def create(self, image: Image, job: Job) -> None:
        """Write a new image and its first job. Raises `RecordChanged` if either exists, `Unavailable`."""
        await self._transact(Put(item=image_item(image)), Put(item=job_item(job)))

    async def accept(
        self,
        image: Image,
        job: Job,
        source: Source,
        expires_at: int,
        *,
        counted: bool = True,
        refusal: Failure | None = None,
        version: str = "",
        lease: Lease | None = None,
        maker: str = "",
    ) -> Job:
        """Note that the first source has arrived, and begin the work on it if there is a `lease`. Raises
        `RecordChanged`, `Unavailable`."""
        # create ── pending ──────────────── upload ── accept ── uploaded ──> claim
        #              │                                  ├─ with a lease: processing
        #              │                                  └─ refused: failed, and gone with its ttl
        #              └─ ttl runs out: gone     └─ deleted, or accepted by another delivery: changed
        accepted = arrived(job, source, expires_at, counted=counted, refusal=refusal, lease=lease, maker=maker)
        first = {"firstVersion": version} if version else {}
        lives_on = self._image_update(image, **_lasting(None if counted else expires_at, **first))
        arrives = Update(
            key=job_key(job.processing_id),
            sets={
                "status": accepted.status.value,
                "statusKey": index_attributes(accepted)["statusKey"],
                "updatedAt": clock.to_iso(accepted.updated_at),
                "moments": [moment.to_text() for moment in accepted.moments],
                **change_attributes(job),
                TTL: expires_at,
                **({"source": RECORDS.encode(source)} if refusal is None else {"error": RECORDS.encode(refusal)}),
                **_begun(accepted),
            },
            remove=("uncounted",) if counted else (),
            condition=f"{LIVING} AND {CURRENT} AND {_out_of(ACCEPT)}",
            values={"present": self._table.present(), **_statuses(ACCEPT)},
        )
        await self._transact(lives_on, arrives)
        return accepted

    async def replace(self, image: Image, old: Job | None, new: Job, *, counted_through: str = "") -> None:
        """Make `new` the current job. Raises `RecordChanged`, `Unavailable`."""
        # old ── current ───────────────┬── names new; failed as superseded if it had not ended
        #                               │      └─ listed beside it, until there are two more
        # new ──────────────── replace ─┴── current ──> claim
        points_on = self._image_update(
            image,
            also=("#jobIds = list_append(#jobIds, :added)",),
            values={"added": [new.processing_id]},
            **_lasting(
                new.expires_at if new.uncounted else None,
                currentJob=new.processing_id,
                **_counted_value(counted_through),
            ),
        )
        retires = (self._retirement(old, new),) if old is not None else ()
        await self._transact(points_on, *retires, Put(item=job_item(new)))
        for processing_id in image.job_ids[-KEPT_ROWS - 1 : -KEPT_ROWS]:
            await self._unlist(processing_id)

    async def _unlist(self, processing_id: str) -> None:
        """Remove a job from the listings. If this fails, every listing must skip its row until it expires."""
        gone = Update(key=job_key(processing_id), remove=INDEX_ATTRIBUTES, condition=f"attribute_exists(#{KEY})")
        with suppress(ConditionFailed, Unavailable, Busy):
            await self._table.update(gone)

    async def count_through(self, image: Image, version: str) -> Image:
        """Note up to which version uploads are counted. Raises `RecordChanged`, `Unavailable`."""
        # Without retries: a retry could not tell whether its own first try had written the mark.
        try:
            await self._table.update_once(self._image_update(image, living="", sets=_counted_value(version)))
        except ConditionFailed:
            raise RecordChanged from None
        return replace(image, counted_through=version)

    async def tombstone(
        self,
        image: Image,
        deleted_at: datetime,
        expires_at: int,
        *,
        uncounted: bool = False,
        status: JobStatus | None = None,
        counted_through: str = "",
    ) -> Image:
        """Mark the image deleted and remove its current job. Raises `RecordChanged`, `Unavailable`."""
        # living ── tombstone ── deleted ── forget_jobs ── erased ── ttl runs out: gone
        #               └─ its current job goes with it, so that no worker's outcome finds a record
        found_by = {**change_attributes(image), "updatedAt": clock.to_iso(deleted_at)}
        sets = {"deletedAt": clock.to_iso(deleted_at), TTL: expires_at, **_counted_value(counted_through), **found_by}
        buried = self._image_update(image, sets=sets)
        as_read: dict[str, Any] = {"uncounted": True} if uncounted else {}
        if status is not None:
            as_read |= {"status": status.value}
        condition = " AND ".join(f"#{name} = :{name}" for name in as_read)
        await self._transact(buried, Delete(key=job_key(image.current_job), condition=condition, values=as_read))
        counted = counted_through or image.counted_through
        return replace(image, deleted_at=deleted_at, expires_at=expires_at, counted_through=counted)

    async def forget_jobs(self, image: Image, erased_at: datetime) -> None:
        """Remove every job record of a deleted image, then note it in the tombstone. Raises `Unavailable`."""
        await self._table.delete([job_key(each) for each in image.job_ids])
        erased = Update(
            key=image_key(image.unique_id),
            sets={"erasedAt": clock.to_iso(erased_at)},
            condition="attribute_exists(#deletedAt)",
        )
        try:
            await self._table.update(erased)
        except ConditionFailed:
            return  # the tombstone has expired

    # -- one job

    async def extend(self, image: Image, job: Job, expires_at: int) -> Job:
        """Extend the life of a pending upload. Raises `RecordChanged`, `Unavailable`."""
        extended = Update(
            key=job_key(job.processing_id),
            sets={TTL: expires_at},
            condition=f"{LIVING} AND {CURRENT} AND {_out_of(EXTEND)}",
            values={"present": self._table.present(), **_statuses(EXTEND)},
        )
        await self._transact(self._image_update(image, sets={TTL: expires_at}), extended)
        return replace(job, expires_at=expires_at)

    async def claim(self, processing_id: str, lease: Lease, now: datetime, maker: str) -> Job:
        """`-> processing` under `lease`. Raises `Conflict`, `Unavailable`.

        If the answer to a claim is lost, the next try recognises its own claim and does not count it twice.
        """
        if not _JOB_ID.fullmatch(processing_id):
            raise Conflict
        # uploaded ── claim ── processing ──────── finish ── completed | failed
        #                        │    └─ lease runs out ── claim ── processing ...
        #                        └─ failed, but not for its file ── redriven, uploaded again ── claim ── processing ...
        waiting = "#status = :uploaded"
        abandoned = f"(#status = :processing AND {FREE})"
        codes = {f"code{number}": code for number, code in enumerate(sorted(NOT_THE_FILES_FAULT))}
        not_its_fault = f"#error.#code IN ({', '.join(f':{name}' for name in codes)})"
        let_in = "attribute_exists(#source) AND attribute_not_exists(#uncounted)"
        given_up = f"(#status = :failed AND {not_its_fault} AND {let_in})"
        claim = Update(
            key=job_key(processing_id),
            sets={
                "status": JobStatus.PROCESSING.value,
                "lease": RECORDS.encode(lease),
                "updatedAt": clock.to_iso(now),
            },
            also=(
                "#statusKey = #claimKey",
                "#attempts = #attempts + :one",
                "#maker = if_not_exists(#maker, :maker)",
                MORE_MOMENTS,
            ),
            remove=("error", "endedBy", "processedImages"),
            condition=f"{LIVING} AND {CURRENT} AND ({waiting} OR {abandoned} OR {given_up})",
            values={
                **_more(began_at(now)),
                "present": int(now.timestamp()),
                "now": seconds_value(now.timestamp()),
                "one": 1,
                "maker": maker,
                **_statuses(CLAIM),
                **codes,
            },
        )
        return await self._leased(claim, lease)

    async def take_up(self, processing_id: str, lease: Lease, now: datetime) -> Job:
        """Put a completed job that owes further formats under `lease`. Raises `Conflict`, `Unavailable`."""
        if not _JOB_ID.fullmatch(processing_id):
            raise Conflict
        # completed, owing ── take_up ── held ── amend ── completed, with what was owed
        #                                 └─ lease runs out ── take_up ...
        take_up = Update(
            key=job_key(processing_id),
            sets={"lease": RECORDS.encode(lease)},
            also=("#attempts = #attempts + :one",),
            remove=("endedBy",),
            condition=f"{LIVING} AND {CURRENT} AND {_out_of(TAKE_UP)} AND attribute_exists(#owed) AND {FREE}",
            values={
                "present": int(now.timestamp()),
                "now": seconds_value(now.timestamp()),
                "one": 1,
                **_statuses(TAKE_UP),
            },
        )
        return await self._leased(take_up, lease)

    async def _leased(self, change: Update, lease: Lease) -> Job:
        """Apply the change, and return the new job. If the job has the lease already, the answer to a try was lost."""
        try:
            return job_from_item(await self._table.update(change))
        except ConditionFailed as failed:
            if failed.item and failed.item.get("lease", {}).get("token") == lease.token:
                return job_from_item(failed.item)
            raise Conflict from None

    async def renew(self, processing_id: str, lease: Lease) -> None:
        """Write the lease's new expiry. Raises `LeaseLost`, `Unavailable`."""
        renewal = self._held_update(processing_id, lease, sets={"lease": RECORDS.encode(lease)})
        try:
            await self._table.update(renewal)
        except ConditionFailed:
            raise LeaseLost from None

    async def release(self, processing_id: str, lease: Lease) -> None:
        """End the lease. Raises `LeaseLost`, `Unavailable`."""
        # The token is removed too, so that a heartbeat on its way cannot restore the lease.
        release = self._held_update(
            processing_id,
            lease,
            sets={"endedBy": lease.token},
            also=("#attempts = #attempts - :one",),
            remove=("lease",),
            values={"one": 1},
        )
        try:
            await self._table.update(release)
        except ConditionFailed as failed:
            if not any(_ended(failed.item, lease, status) for status in HOLD.sources):
                raise LeaseLost from None

    async def note(self, processing_id: str, lease: Lease, variants: Sequence[StoredVariant]) -> None:
        """Write the variants that are stored so far. Raises `LeaseLost`, `Unavailable`."""
        variants_so_far = [RECORDS.encode(variant) for variant in variants]
        sets = {"processedImages": variants_so_far, "updatedAt": clock.to_iso(clock.now())}
        noted = self._held_update(processing_id, lease, FINISH, sets=sets)
        try:
            await self._table.update(noted)
        except ConditionFailed:
            raise LeaseLost from None

    async def finish(self, job: Job, lease: Lease) -> None:
        """Write the outcome and drop the lease. Raises `LeaseLost`, `Unavailable`.

        `endedBy` keeps the token. So a caller recognises its own write, even if the answer was lost.
        """
        status = FINISH.into(job.status)
        # A job with a lease is the current one and listed: a write that makes another job current removes the lease.
        outcome = self._held_update(
            job.processing_id,
            lease,
            FINISH,
            sets={
                **outcome_values(job),
                **digest_attributes(job),
                **change_attributes(job),
                "status": status.value,
                "statusKey": index_attributes(job)["statusKey"],
                "updatedAt": clock.to_iso(job.updated_at),
                TTL: job.expires_at,
                "endedBy": lease.token,
            },
            also=(MORE_MOMENTS,),
            values=_more(ended_at(job)),
            remove=("lease", "uncounted", "uncountedBytes", *(() if job.variants else ("processedImages",))),
        )
        try:  # counted with its end, so that each job counts once, whatever is repeated
            await self._table.transact(outcome, counting(job, job.cost or NOTHING))
        except ConditionFailed:
            if not _ended(await self._table.get(job_key(job.processing_id)), lease, job.status):
                raise LeaseLost from None

    async def decide(self, job: Job) -> None:
        """Write what a reviewer said. Raises `RecordChanged`, `Unavailable`."""
        # processing ── finish ── needs_review ── decide ── rejected
        #                                            └─ approved ── copied ── publish ── completed
        decided = Update(
            key=job_key(job.processing_id),
            sets={**self._ended_values(job), "review": RECORDS.encode(job.review)},
            condition=f"{LIVING} AND {CURRENT} AND {_out_of(DECIDE)} AND attribute_not_exists(#review.#decision)",
            values={"present": self._table.present(), **_statuses(DECIDE)},
        )
        try:
            await self._table.update(decided)
        except ConditionFailed as failed:
            if not failed.item or job_from_item(failed.item).review != job.review:
                raise RecordChanged from None

    async def publish(self, job: Job) -> None:
        """Write that an approved job has completed. Raises `RecordChanged`, `Unavailable`."""
        completed = Update(
            key=job_key(job.processing_id),
            sets={
                **self._ended_values(job),
                **outcome_values(job),
                **digest_attributes(job),
                TTL: job.expires_at,
            },
            condition=f"{LIVING} AND {CURRENT} AND {_out_of(PUBLISH)} AND #review.#decision = :approved",
            values={
                "present": self._table.present(),
                "approved": Decision.APPROVED.value,
                **_statuses(PUBLISH),
            },
        )
        await self._transact(completed, counting(job, NOTHING))

    def _ended_values(self, job: Job) -> Item:
        """What changes with a job that a reviewer has looked at; nobody else adds to its journal meanwhile."""
        return {
            **change_attributes(job),
            "status": job.status.value,
            "statusKey": index_attributes(job)["statusKey"],
            "updatedAt": clock.to_iso(job.updated_at),
            "moments": [moment.to_text() for moment in job.moments],
        }

    async def amend(self, job: Job, lease: Lease, spent: Cost = NOTHING) -> None:
        """Write the further formats that were made, and those still owed. Raises `LeaseLost`, `Unavailable`."""
        values = RECORDS.encode(job)
        sets = {name: values[name] for name in ("owed", "further", "cost") if name in values}
        ended: Item = {} if job.owed else {"endedBy": lease.token}
        amended = self._held_update(
            job.processing_id,
            lease,
            AMEND,
            sets={**sets, "updatedAt": clock.to_iso(job.updated_at), **ended},
            remove=() if job.owed else ("lease", "owed"),
        )
        try:
            await self._table.transact(amended, *([] if spent == NOTHING else [counting(job, spent, ends=False)]))
        except ConditionFailed:
            if job.owed or not _ended(await self._table.get(job_key(job.processing_id)), lease, job.status):
                raise LeaseLost from None

    async def fail(self, job: Job) -> None:
        """Write `job.error` for a job that no worker holds. Raises `RecordChanged`, `Unavailable`."""
        failed_job = replace(job, status=FAIL.into(JobStatus.FAILED))
        failure = Update(
            key=job_key(job.processing_id),
            sets={
                "status": failed_job.status.value,
                "statusKey": index_attributes(failed_job)["statusKey"],
                "error": RECORDS.encode(job.error),
                "updatedAt": clock.to_iso(job.updated_at),
                **change_attributes(job),
            },
            also=(MORE_MOMENTS,),
            condition=f"{LIVING} AND {CURRENT} AND {_out_of(FAIL)}",
            values={"present": self._table.present(), **_statuses(FAIL), **_more(ended_at(failed_job))},
        )
        try:
            await self._table.update(failure)
        except ConditionFailed as failed:
            written = failed.item and failed.item.get("error") == RECORDS.encode(job.error)
            if not written or failed.item["updatedAt"] != clock.to_iso(job.updated_at):  # type: ignore[index]
                raise RecordChanged from None

    # -- secrets

    async def signing_key(self, name: str) -> bytes:
        """32 random bytes. The first writer decides, all others read. Raises `Unavailable`."""
        return await shared_secret(self._table, name)

    # -- calls

    def _image_update(self, image: Image, *, living: str = UNDELETED, **change: Any) -> Update:
        """A change to an image, on the condition that it has not changed since it was read."""
        values = {
            "present": self._table.present(),
            "currentJob": image.current_job,
            "first": image.first_version,
            "through": image.counted_through,
            **change.pop("values", {}),
        }
        first = "#firstVersion = :first" if image.first_version else "attribute_not_exists(#firstVersion)"
        through = "#countedThrough = :through" if image.counted_through else "attribute_not_exists(#countedThrough)"
        condition = " AND ".join(filter(None, (LIVING, living, UNCHANGED, first, through)))
        return Update(key=image_key(image.unique_id), condition=condition, values=values, **change)

    def _held_update(self, processing_id: str, lease: Lease, transition: Transition = HOLD, **change: Any) -> Update:
        """A change to a job, on the condition that the caller has its lease."""
        values = {
            "present": self._table.present(),
            "token": lease.token,
            **_statuses(transition),
            **change.pop("values", {}),
        }
        held = f"{LIVING} AND {_out_of(transition)} AND #lease.#token = :token"
        return Update(key=job_key(processing_id), condition=held, values=values, **change)

    def _retirement(self, old: Job, new: Job) -> Update:
        """Take the lease from a job and name its successor; if it has not ended, it fails as superseded."""
        retired = superseded(old, new)
        failure: Item = {
            "status": retired.status.value,
            "error": RECORDS.encode(retired.error),
            "updatedAt": clock.to_iso(retired.updated_at),
            **change_attributes(retired),
        }
        # The old row stays in lists that both jobs belong to: an index may lose it before it has the new row.
        stays = {"listKey", "sortKey", *(("statusKey",) if old.status is new.status else ())}
        goes = tuple(name for name in INDEX_ATTRIBUTES if name not in stays)
        return Update(
            key=job_key(old.processing_id),
            sets={**({} if old.ended else failure), "supersededBy": retired.superseded_by},
            also=() if old.ended else (MORE_MOMENTS,),
            remove=(*goes, "lease", *(("owed",) if old.ended else ("processedImages", "review"))),
            condition=f"{LIVING} AND #status = :status",
            values={"present": self._table.present(), "status": old.status.value, **_more(overtaken_at(new))},
        )

    async def _transact(self, *changes: Update | Put | Delete) -> None:
        try:
            await self._table.transact(*changes)
        except ConditionFailed:
            raise RecordChanged from None


def _lasting(expires_at: int | None, **sets: Any) -> Item:
    """A change that also sets when an item expires; None: never."""
    return {"sets": sets, "remove": (TTL,)} if expires_at is None else {"sets": {**sets, TTL: expires_at}}


def _counted_value(version: str) -> Item:
    return {"countedThrough": version} if version else {}


def _ended(item: Item | None, lease: Lease, status: JobStatus) -> bool:
    """Whether the same lease has already ended with this status."""
    return item is not None and item.get("endedBy") == lease.token and item.get("status") == status.value
