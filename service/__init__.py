"""The shell around the processor: HTTP, configuration, wiring."""
