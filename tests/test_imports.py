"""The package's imports run one way, from room to room and from module to module; read off the sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gpusmote"
FLOORS = [
    ["cli"],
    ["evaluation"],
    ["files", "smotefamily", "oversample_table", "r", "machine_info"],
    ["over_sampling"],
    ["base"],
    ["synthesis"],
    ["neighbors", "containers"],
    ["backends"],
    ["config", "errors", "messages", "atomic_write", "io_errors", "random_stream"],
]
"""From the top down: a room may import rooms below, and rooms of its own floor only if named in BESIDE."""
BESIDE = {("r", "smotefamily"), ("io_errors", "errors"), ("atomic_write", "io_errors"), ("atomic_write", "errors"),
          ("config", "errors"), ("config", "messages"), ("io_errors", "messages"), ("errors", "messages"),
          ("atomic_write", "messages"), ("random_stream", "errors"), ("files", "oversample_table")}  # fmt: skip
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """The modules of the package that a module imports anywhere in it, for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return {name for name in found if name in MODULES and name != "gpusmote"}


GRAPH = {name: imports(path) for name, path in MODULES.items() if name not in ("gpusmote", "gpusmote.__main__")}


def room(name: str) -> str:
    return name.split(".")[1]


def test_every_room_has_its_floor():
    assert {room(name) for name in GRAPH} == set(FLOOR)


@pytest.mark.parametrize("name", GRAPH)
def test_imports_run_down(name):
    for other in GRAPH[name]:
        here, there = room(name), room(other)
        assert here == there or FLOOR[here] < FLOOR[there] or (here, there) in BESIDE, other


def test_there_is_no_circle():
    """Modules are taken off the graph as long as one imports nothing that is left."""
    left = {name: set(others) - {name} for name, others in GRAPH.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not {name: sorted(others & left.keys()) for name, others in left.items()}


@pytest.mark.parametrize("name", GRAPH)
def test_only_these_rooms_know_the_device_packages(name):
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(found.partition(".")[0] in ("cupy", "cupyx", "faiss") for found in names):
            assert room(name) in ("backends", "containers", "neighbors", "evaluation", "machine_info")
