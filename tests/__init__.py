"""The tests: unit, contract, integration and end to end."""
