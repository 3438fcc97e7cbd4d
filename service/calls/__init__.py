"""The calls of the API, one module for each subject. They parse, call a use case, and render; they have no logic."""
