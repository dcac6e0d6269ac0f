"""The house: which room may know which, read off the imports."""

import ast
from pathlib import Path

import genzoo

HOUSE = Path(genzoo.__file__).parent

# room -> rooms above it, of which it must not know
ABOVE = {
    "gate": {
        "data",
        "families",
        "training",
        "evaluation",
        "benchmark",
        "compression",
        "unclip",
        "course",
        "cli",
    },
    "data": {
        "families",
        "training",
        "evaluation",
        "benchmark",
        "compression",
        "unclip",
        "course",
        "cli",
    },
    "families": {"training", "benchmark", "compression", "unclip", "course", "cli"},
    "training": {"evaluation", "benchmark", "compression", "unclip", "course", "cli"},
    "evaluation": {"training", "benchmark", "compression", "unclip", "course", "cli"},
    "compression": {"benchmark", "unclip", "course", "cli"},
    "benchmark": {"course", "cli"},
    "pretrained": {"course", "cli"},
    "unclip": {"course", "cli"},
    "course": {"cli"},
}


def imported(path: Path) -> set[str]:
    """The modules of genzoo that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "genzoo":
            names |= {f"genzoo.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name for name in names if name.startswith("genzoo.")}


def test_no_room_knows_a_room_above_it():
    upward = []
    for room, above in ABOVE.items():
        for path in (HOUSE / room).rglob("*.py"):
            rooms = {name.split(".")[1] for name in imported(path)}
            upward += [f"{path.relative_to(HOUSE)} -> {known}" for known in rooms & above]
    assert not upward


def test_what_measures_draws_nothing():
    """Neither figures nor tables are made in `genzoo.evaluation`: it needs no plotting library."""
    drawing = [
        path.relative_to(HOUSE)
        for path in (HOUSE / "evaluation").rglob("*.py")
        if "matplotlib" in path.read_text(encoding="utf-8")
    ]
    assert not drawing


def test_the_ground_floor_is_small():
    modules = [path for path in HOUSE.glob("*.py") if not path.name.startswith("__")]
    assert len(modules) <= 10


def test_the_types_are_for_users_too():
    assert (HOUSE / "py.typed").is_file()
