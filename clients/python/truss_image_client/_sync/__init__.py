"""The synchronous half of the client.

Generated from `_async` by `python -m clients.generate`: do not edit.
"""
