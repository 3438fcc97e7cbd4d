"""`python -m service` is `truss-image serve`."""

from service.cli import serve

if __name__ == "__main__":
    serve()
