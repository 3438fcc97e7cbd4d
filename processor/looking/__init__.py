"""Looks into pictures with models. It alone imports onnxruntime and numpy, which the extra `ai` brings."""
