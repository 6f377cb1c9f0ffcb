"""Makes `import tensorflow` faster: half of its time goes to collecting garbage that is none, and to scikit-learn.

Importing TensorFlow makes a million objects that stay. Python's collector looks through them again and again meanwhile,
and once more at exit; it is paused during the import, and what the import made is exempt from then on (gc.freeze).
Keras imports scikit-learn, where it is installed, for keras.wrappers alone; that module now loads when it is used.
"""

import functools
import gc
import importlib
import sys
import threading
import typing
from importlib.abc import Loader
from importlib.machinery import PathFinder
from types import ModuleType

WAITING = {"keras.wrappers", "keras._tf_keras.keras.wrappers"}
LOCK = threading.Lock()


class _Waiting(ModuleType):
    """Stands for a module until something of it is used; then it is that module.

    Not importlib's LazyLoader, which until Python 3.12.3 lets other threads see a module half loaded:
    https://github.com/python/cpython/issues/114763
    """

    def __getattr__(self, name):
        if name in ("__path__", "__file__", "__cached__"):  # the import system asks, nobody else
            raise AttributeError(name)
        return getattr(_loaded(self.__name__), name)

    def __dir__(self):
        return dir(_loaded(self.__name__))


def _loaded(name):
    """Import a module that waits, once and under the import system's own locks, and return it."""
    with LOCK:
        WAITING.discard(name)
        if isinstance(sys.modules.get(name), _Waiting):
            del sys.modules[name]
    return importlib.import_module(name)


class _Later(Loader):
    """Loads nothing yet."""

    def create_module(self, spec):
        return _Waiting(spec.name)

    def exec_module(self, module):
        pass


class _Quick(Loader):
    """Loads a module with the garbage collector paused."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        collecting = gc.isenabled()
        gc.disable()
        # Generated code names the same few types in thousands of annotations, and typing compiles each of them.
        typing.compile = functools.cache(compile)
        try:
            self._loader.exec_module(module)
        finally:
            del typing.compile
            if collecting:
                gc.freeze()
                gc.enable()


class _Finder:
    """Finds what every finder finds, and changes how a few modules are loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "tensorflow" and name not in WAITING:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quick(spec.loader) if name == "tensorflow" else _Later()
        return spec


sys.meta_path.insert(0, _Finder)
