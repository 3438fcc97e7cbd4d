// What can go wrong, ordered by what the caller must do.

import type { Job, Problem } from "./models.js";

/** Everything that this package rejects with on purpose. */
export class TrussImageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** There was no answer, after every try. */
export class NotReached extends TrussImageError {}

/** Something answers that does not speak this API: look at the base URL. */
export class NotThisService extends TrussImageError {}

/** The job has not ended in the time that the caller gave it. It goes on in the service. */
export class NotDone extends TrussImageError {}

/** The storage refused the file, or could not be reached. */
export class UploadFailed extends TrussImageError {}

/** A delivery is not from the service, or too old. */
export class WebhookRefused extends TrussImageError {}

/** There are no variants to show: `job.error` says why, or the status does: `needs_review` or `rejected`. */
export class JobFailed extends TrussImageError {
  constructor(readonly job: Job) {
    super(`${job.processingId} has no variants: ${job.error ? `${job.error.code}: ${job.error.message}` : job.status}`);
  }

  /** Stable, for programs. */
  get code(): string {
    return this.job.error?.code ?? this.job.status;
  }
}

/** The service refused a call. `problem` has all that it said. */
export class ApiError extends TrussImageError {
  constructor(
    readonly problem: Problem,
    /** When it makes sense to ask again, in seconds. */
    readonly retryAfter?: number,
  ) {
    super(`${problem.code}: ${problem.detail} (request ${problem.requestId})`);
  }

  /** Stable, for programs. */
  get code(): string {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }
}

/** The request is wrong: 400, 413, 415, 422. */
export class BadRequest extends ApiError {}

/** The key or token is missing, mistyped, expired or revoked. */
export class NotAuthenticated extends ApiError {}

/** The key has not the scope that the call needs. */
export class NotAllowed extends ApiError {}

/** There is no such thing, or it was deleted. */
export class NotFound extends ApiError {}

/** It is not in the state that the call needs. */
export class Conflict extends ApiError {}

/** A limit was reached, and waiting as long as the service says takes longer than the caller's patience. */
export class TooManyRequests extends ApiError {}

/** The service could not do it now, after every try. */
export class Unavailable extends ApiError {}

const BY_STATUS: Record<number, typeof ApiError> = {
  401: NotAuthenticated,
  403: NotAllowed,
  404: NotFound,
  410: NotFound,
  409: Conflict,
  412: Conflict,
  429: TooManyRequests,
};

/** The error of a problem document. */
export function refusal(problem: Problem, retryAfter?: number): ApiError {
  const kind = BY_STATUS[problem.status] ?? (problem.status >= 500 ? Unavailable : BadRequest);
  return new kind(problem, retryAfter);
}
