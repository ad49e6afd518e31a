"""How much memory is left, from files like those of the kernel."""

from __future__ import annotations

import pytest

from gpusmote.backends import memory


def test_something_is_available_on_linux():
    assert memory.available() is None or memory.available() > 0


@pytest.fixture
def groups(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)

    def group(name, limit, used, cached, old=False):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if old else ("memory.max", "memory.current")
        for file, value in zip(files, (limit, used), strict=True):
            (folder / file).write_text(f"{value}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{'total_' if old else ''}inactive_file {cached}\n")

    return group


def test_a_groups_cache_does_not_count_as_used(groups, tmp_path):
    groups("job", 1000, 900, 300)
    assert memory._left(tmp_path / "job", "memory.max", "memory.current", "inactive_file") == 400
    groups("job", 1000, 1400, 300)
    assert memory._left(tmp_path / "job", "memory.max", "memory.current", "inactive_file") == 0


def test_no_limit_is_no_limit(groups, tmp_path):
    groups("job", "max", 900, 300)
    assert memory._left(tmp_path / "job", "memory.max", "memory.current", "inactive_file") is None


def test_the_smallest_counts(groups, monkeypatch):
    monkeypatch.setattr(memory, "_kernel", lambda: 10_000)
    groups("memory", 5000, 1000, 0, old=True)
    assert memory.available() == 4000
    groups("", 3000, 1000, 500)
    assert memory.available() == 2500
    monkeypatch.setattr(memory, "_kernel", lambda: 7)
    assert memory.available() == 7
