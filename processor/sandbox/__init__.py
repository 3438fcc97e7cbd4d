"""The same render in a process of its own, which can be killed and whose memory is limited."""
