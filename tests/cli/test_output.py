"""Output is printable in any encoding, without control characters."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpusmote.cli import main
from gpusmote.cli.output import Output, lines
from tests.cli.helpers import read, write

HOSTILE = ["\x1b[31mred\x1b[0m", "bell\x07", "two\nlines\r", "\x9b2J", "\u202eright to left", "中文", "Zürich", "€"]


def printed(encoding: str, *arguments: object) -> tuple[int, str, str]:
    """Run a command with standard output and standard error in an encoding."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors) for errors in ("strict", "backslashreplace")]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        status = main([str(argument) for argument in arguments])
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)  # type: ignore[attr-defined]
    return status, out, err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("command", ["resample", "plan"])
def test_labels_are_printed_in_every_encoding(command: str, encoding: str, tmp_path: Path) -> None:
    labels = [label for i, label in enumerate(HOSTILE) for _ in range(10 + i)]
    data = pa.table({"x": [float(i % 17) for i in range(len(labels))], "kind": labels})
    source, out = write(data, tmp_path / "in.parquet"), tmp_path / "out.parquet"
    arguments = ["-o", out] if command == "resample" else []
    status, said, err = printed(encoding, command, source, "--target", "kind", *arguments)
    assert status == 0, err
    assert all(character.isprintable() for character in said.replace("\n", ""))
    assert len([line for line in said.splitlines() if " -> " in line]) == len(HOSTILE)
    assert "\\x1b[31mred" in said
    assert "two\\nlines\\r" in said
    if command == "resample":
        assert set(read(out)["kind"].to_pylist()) == set(HOSTILE)


@pytest.mark.skipif(sys.platform != "linux", reason="file names of this system are always text")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("command", ["resample", "plan"])
def test_undecodable_file_names_are_printed_in_every_encoding(command: str, encoding: str, tmp_path: Path) -> None:
    data = pa.table({"x": [float(i) for i in range(30)], "kind": ["a"] * 20 + ["b"] * 10})
    source, out = (tmp_path / os.fsdecode(name) for name in (b"in\xff.parquet", b"out\xff.parquet"))
    write(data, tmp_path / "in.parquet").rename(source)
    arguments = ["-o", out] if command == "resample" else []
    status, said, err = printed(encoding, command, source, "--target", "kind", *arguments)
    assert (status, err) == (0, "")
    assert f"{'out' if arguments else 'in'}\\udcff.parquet  " in said
    status, said, err = printed(encoding, command, source, "--target", "\udcff", *arguments, "--force")
    assert (status, said) == (1, "")
    assert "in\\udcff.parquet: There is no column '\\udcff'." in err
    assert out.exists() == (command == "resample")


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.isprintable()])
def test_control_characters_of_a_file_name_are_escaped_in_errors(name: str, tmp_path: Path) -> None:
    status, _, err = printed("utf-8", "plan", tmp_path / f"{name}.csv", "--target", "kind")
    assert status == 1
    assert err.startswith("error: ")
    assert all(character.isprintable() for character in err.replace("\n", ""))


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.dictionaries(st.text(), st.one_of(st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text()))))
def test_each_fact_is_one_line_of_printable_text(facts: dict[str, object]) -> None:
    printed = list(lines(facts))
    assert len(printed) == sum(1 + len(value) if isinstance(value, dict) else 1 for value in facts.values())
    assert all(line.isprintable() for line in printed)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.text(), st.text())
def test_errors_are_printable(message: str, hint: str) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        Output().error(message, hint)
    assert all(line.isprintable() for line in said.getvalue().split("\n"))
