"""Rate limits and fairness between callers."""
