"""The bytecode of all that `import tensorflow` loads in one file: 2,400 modules that are not looked for, opened and read.

A module of the pack is as Python would have loaded it, with its own file, spec and loader. The pack answers only for
folders that are as the build left them, which they show by their time: whatever pip, uv or a person changes in a folder,
Python finds there as ever. `python -m kit_pack` writes the pack and prints that time and those folders.
"""

import _imp
import functools
import importlib.util
import marshal
import mmap
import os
import sys
from importlib.machinery import SourceFileLoader

FILE = f"{os.path.dirname(__file__)}/kit_pack.bin"  # the length of the contents in 8 bytes, the contents, the bytecode


def opened():
    """Return what gives the spec of a module that the pack has, and None for any other; None where there is no pack."""
    # What is compiled, or whom loads are shown to, is not as usual.
    if sys.flags.optimize or sys.pycache_prefix or _imp.check_hash_based_pycs != "default" or len(sys.path_hooks) != 2:
        return None
    try:
        with open(FILE, "rb") as file:
            pack = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    except OSError:
        return None
    start = 8 + int.from_bytes(pack[:8], "little")
    seal, modules = marshal.loads(pack[8:start])

    @functools.cache
    def unchanged(folder):
        try:
            return all(os.stat(each).st_mtime == seal for each in (folder, f"{folder}/__pycache__"))
        except OSError:
            return False

    def find(name, path):
        if name not in modules:
            return None
        file, cached, at, size = modules[name]
        folder, _, stem = file.rpartition("/")
        within = [folder] if stem == "__init__.py" else None
        if path != [os.path.dirname(folder) if within else folder] or not unchanged(folder):
            return None
        loader = _Packed(name, file)
        loader.code = pack[start + at : start + at + size]
        spec = importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=within)
        spec.cached = cached
        return spec

    return find


class _Packed(SourceFileLoader):
    """Loads a module from the pack, and is from then on the loader that Python would have taken."""

    def get_code(self, name):
        code = marshal.loads(self.__dict__.pop("code"))
        self.__class__ = SourceFileLoader
        _imp._fix_co_filename(code, self.path)  # as Python does with what it reads
        return code


def write():
    """Write the pack, and return the time that its folders are to have, before the build's and unlike another pack's."""
    import zlib

    import tensorflow  # noqa: F401

    modules, code = {}, bytearray()
    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if "." not in name or not spec or spec.name != name or type(spec.loader) is not SourceFileLoader:
            continue  # packages are found as ever, by the whole search path
        with open(spec.cached, "rb") as file:
            head, body = file.read(16), file.read()
        if head[4:8] == b"\1\0\0\0":  # valid by content, and not compared with the source: not so in Debian's Python
            modules[name] = (spec.origin, spec.cached, len(code), len(body))
            code += body
    seal = int(os.environ["SOURCE_DATE_EPOCH"]) - 1 - zlib.crc32(code) % 10**8
    contents = marshal.dumps((seal, modules), 2)  # without references, of which there are other ones each time
    with open(FILE, "wb") as file:
        file.write(len(contents).to_bytes(8, "little") + contents + code)
    folders = {os.path.dirname(path) for origin, cached, *_ in modules.values() for path in (origin, cached)}
    return seal, sorted(folders)


if __name__ == "__main__":
    seal, folders = write()
    print(seal, *folders, sep="\n")
