"""One module per subject: parse, call, render; no logic."""
