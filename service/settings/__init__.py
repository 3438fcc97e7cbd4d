"""The settings of the core's components, which know no environment: where things are, files, work."""
