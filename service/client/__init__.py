"""A client of the API, as the command line uses it."""
