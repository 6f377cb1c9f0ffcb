"""Makes `import tensorflow` faster: most of its time goes to garbage that is none, to files, and to unused packages.

Importing TensorFlow makes a million objects that stay. Python's collector looks through them again and again meanwhile,
and once more at exit; it is paused during the import, and what the import made is exempt from then on (gc.freeze).
The modules come from one file (kit_pack.py). TensorFlow and Keras import a few packages for some rarely used functions;
those load when one of them is used.
"""

import sys
from _thread import allocate_lock  # every start of Python imports this file: nothing large
from importlib.machinery import PathFinder
from types import ModuleType

QUICK = {"tensorflow", "keras"}
# What waits, and the functions of it that TensorFlow takes at once by `from … import`.
WAITING = {
    "keras.wrappers": (),  # for scikit-learn, which it imports
    "keras._tf_keras.keras.wrappers": (),
    "h5py": (),
    "requests": (),
    "scipy.sparse": ("issparse",),
}
LOCK = allocate_lock()


class _Waiting(ModuleType):
    """Stands for a module in those that import it during TensorFlow's import; what they use of it is the module's own.

    Not importlib's LazyLoader, which until Python 3.12.3 lets other threads see a module half loaded:
    https://github.com/python/cpython/issues/114763
    """

    def __getattr__(self, name):
        if name in WAITING[self.__name__]:
            return lambda *given, **named: getattr(_loaded(self), name)(*given, **named)
        return getattr(_loaded(self), name)

    def __dir__(self):
        return dir(_loaded(self))


def _loaded(waiting):
    """Import the module that waits, once and under the import system's own locks, and return it."""
    name = waiting.__name__
    _release(name)
    __import__(name)
    return sys.modules[name]


def _release(name):
    """Let the next import of a module be a real one."""
    with LOCK:
        _Finder.waiting.discard(name)
        if isinstance(sys.modules.get(name), _Waiting):
            del sys.modules[name]


class _Later:
    """Loads nothing yet."""

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__class__ = _Waiting


class _Quick:
    """Loads a module with the garbage collector paused, and without the packages that wait."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        import functools
        import gc
        import typing

        import kit_pack

        module.__loader__ = module.__spec__.loader = self._loader  # as if none had been in between
        collecting = gc.isenabled()
        gc.disable()
        # Generated code names the same few types in thousands of annotations, and typing compiles each of them.
        typing.compile = functools.cache(compile)
        _Finder.waiting.update(WAITING)
        _Finder.packed = kit_pack.opened()
        try:
            self._loader.exec_module(module)
        finally:
            _Finder.packed = None
            for name in WAITING:
                _release(name)
            typing.__dict__.pop("compile", None)
            if collecting:
                gc.freeze()
                gc.enable()


class _Finder:
    """Finds what every finder finds, and changes how a few modules are loaded."""

    # None, but during the import of the first of QUICK.
    waiting: set = set()  # names
    packed = None  # gives the spec of a module in the pack

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if (packed := cls.packed) and (spec := packed(name, path)):
            return spec
        wrap = _Later if name in cls.waiting else _Quick if name in QUICK and not cls.waiting else None
        spec = wrap and PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Later() if wrap is _Later else _Quick(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder)
