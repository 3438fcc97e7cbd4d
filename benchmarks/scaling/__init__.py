"""How many pods, when they come, and what they cost: the models behind `docs/scaling.md`."""
