"""The models of this process: where their files are, and their sessions, which all threads share."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from processor.errors import LookingFailed, LookingOff
from processor.looking.files import FILES, Model, ModelFile

#: The longest side of what is looked at, in pixels.
SIDE = 640
#: Memory in bytes that a process keeps when all models have looked once, and what each thread that looks adds to it:
#: `benchmarks/analysis.py`, as resident memory, a tenth added.
KEPT_BYTES, LOOK_BYTES = 176 * 1024 * 1024, 96 * 1024 * 1024
#: onnxruntime logs errors alone. It would warn of weights that it converts.
_ERRORS_ALONE = 3
#: The allocator takes as much from the system as is asked for, not the next power of two, and keeps it: without it, a
#: look takes a half longer.
_AS_REQUESTED, _AS_IT_DECIDES = 1, -1
#: Characters of an error of onnxruntime that are told.
_LONGEST_WHY = 200
#: What the extra `ai` brings.
_EXTRA = ("numpy", "onnxruntime")


def check_models(folder: Path) -> None:
    """Raises `ValueError` if the extra is not installed, or if a file is missing or not the one that is known."""
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be installed: the extra `ai` brings them")
    for file in FILES.values():
        file.read(folder)


class Models:
    """The models of a folder; None: looking is off. Each is loaded when it is first used."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._sessions: dict[Model, Any] = {}

    def run(self, model: Model, inputs: Mapping[str, Any]) -> list[Any]:
        """All outputs of a model. Other threads go on meanwhile. Raises `LookingOff`, `LookingFailed`."""
        session = self._session(model)
        try:
            outputs: list[Any] = session.run(None, dict(inputs))
        except Exception as error:
            # onnxruntime's errors have no class in common. Their text may be of any length.
            raise LookingFailed(f"The model {model} failed: {_why(error)}") from None
        return outputs

    def read(self, file: ModelFile) -> bytes:
        """A file of the folder. Raises `LookingOff`."""
        if self.folder is None:
            raise LookingOff
        try:
            return file.read(self.folder)
        except ValueError as error:
            raise LookingOff(str(error)) from None

    def _session(self, model: Model) -> Any:
        with self._lock:
            if model not in self._sessions:
                self._sessions[model] = _loaded(self.read(FILES[model]))
            return self._sessions[model]


def _loaded(file: bytes) -> Any:
    """One thread for each look: the renderer has as many as there are processors."""
    try:
        import onnxruntime  # noqa: PLC0415 - the extra may be absent, and looking costs 50 MB from here on
    except ImportError:
        raise LookingOff from None
    _share_allocator()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ALONE
    # Patterns are kept for each size of a picture, and sizes differ.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LookingFailed(f"A model cannot be loaded: {_why(error)}") from None


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_WHY]


@lru_cache(maxsize=1)
def _share_allocator() -> None:
    """One allocator for the sessions of all models: what one has used serves the next."""
    import onnxruntime  # noqa: PLC0415 - as above

    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg(0, _AS_REQUESTED, _AS_IT_DECIDES, _AS_IT_DECIDES)
    onnxruntime.create_and_register_allocator(memory, arena)


_MODELS = Models()


def use(folder: Path | None) -> None:
    """Let this process take its models from a folder; None: from nowhere."""
    global _MODELS  # noqa: PLW0603 - one set of sessions for all threads
    if folder != _MODELS.folder:
        _MODELS = Models(folder)


def models() -> Models:
    """The models of this process."""
    return _MODELS
