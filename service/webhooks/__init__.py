"""Requests to webhooks, and the addresses that they may reach."""
