"""Pictures of every format, changed where it hurts, brought to their verdict as the worker does it, and watched."""
