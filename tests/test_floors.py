"""Imports run downward only: a module may import its own floor and those below, never one above."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"cli"},
    {"show", "workloads", "own"},
    {"pages"},
    {"doctor", "executed", "failed"},
    {"images", "scenarios"},
    {"chain", "check", "explain"},
    {"checks", "compat"},
    {"facts", "faults", "runs"},
    {"host", "engine", "records"},
    {"paths", "versions"},
    {"model"},
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
# show is the only printer and verbs never import it; engine and host are doors of one floor.
FILES = sorted((ROOT / "toolkit").rglob("*.py"))


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "toolkit":
            names |= {f"toolkit.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "toolkit" and len(pieces) > 1 else None


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_downward(file: Path) -> None:
    own = part(".".join(file.relative_to(ROOT).with_suffix("").parts))
    if own == "__init__":
        return
    assert own in FLOOR, f"give {own} a floor"
    for module in imported(file):
        other = part(module)
        if other and other != own:
            assert FLOOR[other] >= FLOOR[own], f"{file.name} imports {module} from above"


@pytest.mark.parametrize("file", sorted((ROOT / "workloads").rglob("*.py")), ids=str)
def test_workloads_do_not_know_the_toolkit(file: Path) -> None:
    assert not any(module.split(".")[0] == "toolkit" for module in imported(file))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_only_show_prints_and_only_cli_exits(file: Path) -> None:
    calls = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    if not {"show", "cli"} & set(file.parts) and file.name not in (
        "nvml.py",
        "cuda.py",
        "refresh.py",
    ):  # programs of their own
        assert "print" not in calls
    if "cli" not in file.parts:
        assert not calls & {"exit", "sys.exit", "os._exit", "typer.Exit"}


@pytest.mark.parametrize("file", [*FILES, *(ROOT / "workloads").rglob("*.py")], ids=str)
def test_each_file_says_its_job_in_its_first_line(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
