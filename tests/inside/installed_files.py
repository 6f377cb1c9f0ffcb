"""Every file that the packages brought is there, but for those that README.md says were removed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0]).parent  # type: ignore[union-attr,index]
# What images/tensorflow/slim.sh removes, by its rules.
REMOVED = [
    r"\.a$",
    r"(^|/)include/",
    r"^(numpy|scipy|sklearn|joblib)/(.*/)?tests?/",
    r"^nvidia/cuda_nvcc/nvvm/(bin|lib64)/",
    r"^nvidia/cuda_nvcc/bin/(cudafe\+\+|nvcc)$",
    r"/libcusolverMg\.so\.\d+$",
    r"/libnvblas\.so\.\d+$",
    r"/libcufftw\.so\.\d+$",
    r"\.alt\.so\.[\d.]+$",
    r"^clang/native/libclang\.so$",
]


@cache
def recorded() -> dict[Path, str]:
    """Return every file that a wheel's RECORD names, with its path in site-packages."""
    found = {}
    for distribution in importlib.metadata.distributions(path=[str(ROOT)]):
        for line in (distribution.read_text("RECORD") or "").splitlines():
            name = line.rsplit(",", 2)[0].strip('"')
            found[ROOT / name] = name
    return found


def test_nothing_else_is_gone() -> None:
    rules = [re.compile(rule) for rule in REMOVED]
    if not any(b"curand" in library.read_bytes() for library in ROOT.glob("tensorflow/libtensorflow_*.so.2")):
        rules.append(re.compile("^nvidia/curand/lib/"))
    gone = {name for file, name in recorded().items() if not file.exists() and not name.endswith(".pyc")}
    assert not {name for name in gone if not any(rule.search(name) for rule in rules)}
    assert len(recorded()) > 5000


def first(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4)


def test_every_library_finds_the_libraries_that_it_names() -> None:
    libraries = [file for file in ROOT.rglob("*.so*") if file.is_file() and first(file) == b"\x7fELF"]
    assert len(libraries) > 100, len(libraries)
    done = subprocess.run(["ldd", *map(str, libraries)], capture_output=True, text=True, check=False, timeout=300)
    lines = done.stdout.splitlines()
    lacking = {line.split()[0] for line in lines if "not found" in line}
    # The driver's comes with the GPU; those of a wheel's own folder (h5py.libs) are loaded by its modules before.
    lacking -= {"libcuda.so.1", *(file.name for folder in ROOT.glob("*.libs") for file in folder.iterdir())}
    assert not lacking


def test_libraries_still_export_their_names() -> None:
    import ctypes

    import tensorflow as tf

    root = Path(tf.__file__).parent
    framework = ctypes.CDLL(str(next(root.glob("libtensorflow_framework.so.2"))))
    names = ("TF_NewOpDefinitionBuilder", "TF_RegisterOpDefinition", "TF_OpDefinitionBuilderAddInput", "TF_NewStatus")
    assert all(hasattr(framework, name) for name in names), "what libraries of custom ops are linked against"
    assert "-ltensorflow_framework" in " ".join(
        tf.sysconfig.get_link_flags()
    ) or ":libtensorflow_framework.so.2" in " ".join(tf.sysconfig.get_link_flags())


def test_libraries_are_bound_but_for_names_that_several_have() -> None:
    # Of 562,000 look-ups by name in the wheel of 2.21.
    said = subprocess.run(
        [sys.executable, "-c", "import tensorflow"],
        env=os.environ | {"LD_DEBUG": "statistics"},
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    ).stderr
    looked_up = re.search(r"final number of relocations: (\d+)", said)
    assert looked_up, said
    assert 10_000 < int(looked_up[1]) < 150_000, looked_up[0]


def test_bytecode_is_there_for_what_starts() -> None:
    import keras
    import numpy
    import tensorflow

    for package in (tensorflow, keras, numpy):
        sources = [file for file in Path(package.__file__).parent.rglob("*.py") if "templates" not in str(file)]
        missing = [file for file in sources if not Path(importlib.util.cache_from_source(str(file))).exists()]
        assert len(missing) <= len(sources) // 100, missing[:10]
