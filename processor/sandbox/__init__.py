"""Renders in a child process, which can be killed and has limited memory."""
