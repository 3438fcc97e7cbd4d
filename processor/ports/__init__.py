"""What the core needs of the world, one module a port; adapters live in `stores`, `pipeline` and `sandbox`.

The docstrings are the specification of the adapters: the contract tests hold them to it.
"""
