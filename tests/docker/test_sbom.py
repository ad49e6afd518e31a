"""What ci/sbom makes of pip-audit's answers."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

FLAW = {"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}
SOUND = {"name": "sound", "version": "1.0", "vulns": []}
SKIPPED = {"name": "unknown", "skip_reason": "Dependency not found on PyPI and could not be audited: unknown (1.0)"}


def test_what_could_not_be_audited_is_not_called_sound(sbom):
    seen = sbom.summary({"dependencies": [SOUND, SKIPPED]})
    assert (seen["packages"], seen["audited"]) == (2, 1)
    assert seen["not audited"] == ["Dependency not found on PyPI and could not be audited: unknown"]
    assert sbom.verdict({"cpu": seen}) == 3


def test_a_known_flaw_comes_first(sbom):
    flawed = sbom.summary({"dependencies": [{"name": "flawed", "version": "2.0", "vulns": [FLAW]}, SKIPPED]})
    assert flawed["known"] == ["flawed 2.0: PYSEC-1, mended in 2.1"]
    assert sbom.verdict({"cpu": flawed}) == 1


def test_all_sound(sbom):
    seen = sbom.summary({"dependencies": [SOUND]})
    assert sbom.verdict({"cpu": seen, "cuda12": seen}) == 0


def test_a_service_that_does_not_answer(sbom, monkeypatch, tmp_path):
    failed = SimpleNamespace(stdout="", stderr="Traceback\nConnectionError: no answer\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    seen = sbom.audit(tmp_path, "cpu")
    assert seen["not audited"] == ["all: ConnectionError: no answer"]
    assert seen["packages"] > 10
    assert sbom.verdict({"cpu": seen}) == 3
