"""From bytes to variants; the only package that imports pyvips."""
