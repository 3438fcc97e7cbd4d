"""`TRACES` says whether OpenTelemetry is there at all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from processor.probe import TRACE
from service.app import create_app
from service.config import Settings, SettingsError
from service.observe.probes import PROBES
from tests.unit.service.test_config import REQUIRED


def test_whoever_does_not_trace_imports_none_of_it() -> None:
    script = (
        "import sys; from service.app import create_app; from service.config import Settings\n"
        f"create_app(Settings.from_env({REQUIRED!r}))\n"
        "sys.exit(any(name.partition('.')[0] in ('opentelemetry', 'requests') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_the_extra_the_service_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "service.observe.traces", raising=False)

    with pytest.raises(SettingsError, match=r"^TRACES: install the extra `traces`"):
        create_app(Settings.from_env(REQUIRED | {"TRACES": "otlp"}))


def test_a_step_is_traced_while_nobody_traces_by_no_probe() -> None:
    app = create_app(Settings.from_env(REQUIRED))
    with app[PROBES].span("event"):
        assert TRACE.get() == ""
