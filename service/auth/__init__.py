"""Authentication, and the scopes of callers."""
