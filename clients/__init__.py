"""Clients of the API: a package for Python, one for TypeScript, and what writes their generated parts."""
