"""Makes the files of the models that look into pictures out of locked wheels: `python -m models`."""
