"""The bytecode that `import tensorflow` reads from one file is that of the folders, and whatever is changed there wins over it."""

from __future__ import annotations

import compileall
import importlib
import os
import py_compile
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from unittest import mock

import kit_pack
import tensorflow  # noqa: F401 what the pack is of

Find = Callable[[str, object], ModuleSpec | None]


def found(find: Find) -> dict[str, ModuleSpec]:
    """Return the specs that a pack gives of all that is loaded here."""
    inside = {name: sys.modules.get(name.rpartition(".")[0]) for name in list(sys.modules)}
    specs = {name: find(name, vars(parent).get("__path__")) for name, parent in inside.items() if parent}
    return {name: spec for name, spec in specs.items() if spec}


def test_it_holds_what_python_finds_in_the_folders() -> None:
    find = kit_pack.opened()
    assert find
    specs = found(find)
    assert len(specs) > 1_500, len(specs)
    for name, spec in specs.items():
        own = SourceFileLoader(name, str(spec.origin))
        assert spec.loader
        assert spec.loader.get_code(name) == own.get_code(name), name  # type: ignore[attr-defined]
        assert (type(spec.loader), vars(spec.loader)) == (SourceFileLoader, vars(own)), name


def test_it_is_used_for_its_own_folders_alone() -> None:
    find = kit_pack.opened()
    path = list(importlib.import_module("tensorflow.python").__path__)
    assert find("tensorflow.python.ops", path)
    for name, where in (
        ("tensorflow.python.ops", ["/tmp"]),
        ("tensorflow.python.ops", None),
        ("tensorflow.none", path),
    ):
        assert find(name, where) is None, (name, where)
    assert find("tensorflow.python.ops", ["/tmp", *path]) is None, "another folder comes before"


def test_it_is_not_used_where_other_bytecode_is_asked_for() -> None:
    code = "import kit_pack; assert kit_pack.opened() is None; import tensorflow"
    subprocess.run([sys.executable, "-O", "-c", code], check=True, timeout=120)
    for option in (["-X", "pycache_prefix=/tmp/bytecode"], ["--check-hash-based-pycs", "always"]):
        subprocess.run([sys.executable, *option, "-c", code.partition("; import t")[0]], check=True, timeout=120)


def test_what_is_changed_wins_over_it() -> None:
    folder = Path(tempfile.mkdtemp())
    package = folder / "changing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "module.py").write_text("is_new = False\n")
    by_content = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(package, quiet=1, invalidation_mode=by_content)
    sys.path.append(str(folder))
    importlib.import_module("changing.module")
    with mock.patch.object(kit_pack, "FILE", str(folder / "pack")):
        with mock.patch.dict(os.environ, SOURCE_DATE_EPOCH="1767225600"):
            seal, folders = kit_pack.write()
            first = (folder / "pack").read_bytes()
            assert kit_pack.write() == (seal, folders)
            assert (folder / "pack").read_bytes() == first
        mine = [Path(each) for each in folders if each.startswith(str(folder))]
        assert mine == [package, package / "__pycache__"]

        def answers() -> bool:
            return kit_pack.opened()("changing.module", [str(package)]) is not None

        changes: tuple[Callable[[], object], ...] = (
            lambda: (package / "module.py").rename(package / "moved.py"),
            lambda: (package / "moved.py").rename(package / "module.py"),
            (package / "module.so").touch,
            lambda: compileall.compile_dir(package, quiet=1, force=True, invalidation_mode=by_content),
            lambda: os.utime(package, (1767225600, 1767225600)),  # as layers on top are stamped
        )
        for change in changes:
            for each in mine:
                os.utime(each, (seal, seal))
            assert answers()
            change()
            assert not answers()
