"""Webhooks on the wire: which addresses may be reached, and the requests."""
