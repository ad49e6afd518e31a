"""What an image leaves out."""

from __future__ import annotations

import pytest


@pytest.fixture
def site(tmp_path, slim):
    """Of one package, something for every rule to take, and what is to stay."""
    for pattern in slim.RULES["scipy"]:
        file = tmp_path / "scipy" / "sparse" / pattern.removeprefix("**/").replace("*", "part")
        file.parent.mkdir(parents=True, exist_ok=True)
        if "." in file.name:
            file.write_text("12345")
        else:
            file.mkdir()
            (file / "test_it.pyi").write_text("1234567")  # falls to two rules
    (tmp_path / "scipy" / "sparse" / "__init__.py").write_text("stays")
    return tmp_path


def test_rules_remove_what_they_name_and_nothing_else(slim, site):
    assert slim.remove(site) == 7 + 5 * (len(slim.RULES["scipy"]) - 1)
    assert [path.name for path in site.rglob("*") if path.is_file()] == ["__init__.py"]


def test_a_rule_that_finds_nothing_is_an_error(slim, site):
    for path in site.rglob("*.pxd"):
        path.unlink()
    with pytest.raises(SystemExit, match=r"scipy has no \*\*/\*\.pxd any more"):
        slim.remove(site)


def test_packages_that_are_not_there_have_no_rules(slim, tmp_path):
    assert slim.remove(tmp_path) == 0


def test_libraries_that_are_missing_are_seen(slim, tmp_path, monkeypatch):
    (tmp_path / "a.so").touch()

    class Listed:
        stdout = "\tlinux-vdso.so.1 (0x1)\n\tlibgone.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n"

    monkeypatch.setattr(slim.subprocess, "run", lambda *_, **__: Listed)
    assert slim.missing_libraries(tmp_path) == {("a.so", "libgone.so.1")}
