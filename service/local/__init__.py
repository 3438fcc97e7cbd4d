"""The whole system on one machine, without an AWS account."""


class LocalError(Exception):
    """The local mode cannot run, or is not found running; the message is one sentence that says what to do."""
