"""What can go wrong, ordered by what the caller must do."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from truss_image_client.models import Job, Problem


class TrussImageError(Exception):
    """Everything that this package raises on purpose."""


class NotReached(TrussImageError):
    """There was no answer, after every try; or a gateway answered with this `status` in place of the service."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class NotThisService(TrussImageError):
    """Something answers that does not speak this API: look at the base URL. `answer`: what it was, in words."""

    def __init__(self, message: str, answer: str = "") -> None:
        self.answer = answer
        super().__init__(message)


class OlderRelease(NotThisService):
    """The service is too old for what was asked of it."""


class NotDone(TrussImageError, TimeoutError):
    """The job has not ended in the time that the caller gave it. It goes on in the service."""


class UploadFailed(TrussImageError):
    """The storage refused the file, or could not be reached."""


class WebhookRefused(TrussImageError):
    """A delivery is not from the service, or too old."""


class JobFailed(TrussImageError):
    """There are no variants to show: `job.error` says why, or the status does: `needs_review` or `rejected`."""

    def __init__(self, job: Job) -> None:
        self.job = job
        words = f"{job.error.code}: {job.error.message}" if job.error else job.status
        super().__init__(f"{job.processing_id} has no variants: {words}")

    @property
    def code(self) -> str:
        """Stable, for programs."""
        return self.job.error.code if self.job.error else self.job.status


class ApiError(TrussImageError):
    """The service refused a call. `problem` has all that it said, and its `code` is stable.

    `retry_after`: when it makes sense to ask again, in seconds. `call`: the method and the path.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None, call: str = "") -> None:
        self.problem = problem
        self.retry_after = retry_after
        self.call = call
        request = f" (request {problem.request_id})" if problem.request_id else ""
        super().__init__(f"{problem.code}: {problem.detail}{request}")

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def status(self) -> int:
        return self.problem.status


class BadRequest(ApiError):
    """The request is wrong: 400, 413, 415, 422."""


class NotAuthenticated(ApiError):
    """The key or token is missing, mistyped, expired or revoked."""


class NotAllowed(ApiError):
    """The key has not the scope that the call needs."""


class NotFound(ApiError):
    """There is no such thing, or it was deleted."""


class Conflict(ApiError):
    """It is not in the state that the call needs."""


class TooManyRequests(ApiError):
    """A limit was reached, and waiting as long as the service says takes longer than the caller's patience."""


class Unavailable(ApiError):
    """The service could not do it now, after every try."""


_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.UNAUTHORIZED: NotAuthenticated,
    HTTPStatus.FORBIDDEN: NotAllowed,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.GONE: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.PRECONDITION_FAILED: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
}


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what brought it about."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from causes(error.exceptions[0])
        error = error.__cause__ or error.__context__


def refusal(problem: Problem, retry_after: float | None = None, *, call: str = "") -> ApiError:
    """The error of a problem document."""
    server = Unavailable if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else BadRequest
    return _BY_STATUS.get(problem.status, server)(problem, retry_after, call)
