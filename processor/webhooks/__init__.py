"""Webhooks: from the end of a job to signed requests, over the queue."""
