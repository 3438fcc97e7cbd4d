"""The use cases of clients, except the conversion."""
