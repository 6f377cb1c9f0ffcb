"""Python in the image: the standard library, the garbage collector after the import, processes and threads, the programs."""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import multiprocessing
import subprocess
import sys
import weakref
from concurrent.futures import ProcessPoolExecutor

STANDARD = """
asyncio bz2 ctypes curses dbm decimal email hashlib http.server json logging lzma mmap multiprocessing pdb pickle queue
readline shelve sqlite3 ssl statistics tarfile threading unittest urllib.request uuid xml.etree.ElementTree zipfile zlib
zoneinfo
"""


class Node:
    def __init__(self) -> None:
        self.itself = self


def collected() -> bool:
    node = Node()
    gone = weakref.ref(node)
    del node
    gc.collect()
    return gone() is None


def square(x: float) -> float:
    import tensorflow as tf

    return float(tf.constant(x) ** 2)


def test_standard_library() -> None:
    for name in STANDARD.split():
        importlib.import_module(name)


def test_garbage_is_collected_after_the_import() -> None:
    import tensorflow as tf

    assert tf.constant(1).numpy() == 1
    assert gc.isenabled()
    assert gc.get_threshold()[0] == 700 or sys.version_info >= (3, 12)
    assert collected()
    before = gc.get_stats()[0]["collections"]
    kept = [Node() for _ in range(100_000)]
    assert gc.get_stats()[0]["collections"] > before, "the collector runs by itself"
    del kept


def test_a_collector_that_was_off_stays_off() -> None:
    code = "import gc; gc.disable(); import tensorflow; assert not gc.isenabled()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    code = (
        "import gc, sys, typing; sys.modules['numpy'] = None\n"
        "try:\n    import tensorflow\n"
        "except ImportError:\n    pass\n"
        "else:\n    raise SystemExit('it did not fail')\n"
        "assert gc.isenabled() and 'compile' not in vars(typing)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_types_are_still_checked_as_python_does() -> None:
    import typing

    import tensorflow  # noqa: F401

    assert "compile" not in vars(typing)
    assert typing.get_type_hints(square) == {"x": float, "return": float}
    try:
        typing.ForwardRef("not a type(")
    except SyntaxError:
        return
    raise AssertionError("a forward reference that is no expression is taken")


def test_processes_started_afresh() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(square, [3.0])) == [9.0]


def test_memory_is_not_lost_by_training_again_and_again() -> None:
    import resource

    import keras
    import numpy as np

    def once() -> None:
        keras.utils.clear_session()
        net = keras.Sequential([keras.layers.Dense(256), keras.layers.Dense(1)])
        net.compile("sgd", "mse", run_eagerly=True)
        net.fit(np.ones((8, 256)), np.ones((8, 1)), verbose=0)
        gc.collect()

    for _ in range(3):
        once()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(10):
        once()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_every_program_of_a_package_is_there() -> None:
    for entry in importlib.metadata.entry_points(group="console_scripts"):
        assert callable(entry.load()), entry


def test_numpy_scipy_and_scikit_learn_compute() -> None:
    import numpy as np
    import scipy.linalg
    import scipy.optimize
    import scipy.sparse.linalg
    import scipy.stats
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import confusion_matrix
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    a = np.random.default_rng(0).random((20, 5))
    assert np.allclose(scipy.linalg.pinv(a) @ a, np.eye(5))
    assert scipy.optimize.minimize(lambda x: (x[0] - 2) ** 2, [0.0]).x[0].round(3) == 2
    assert scipy.sparse.linalg.spsolve(scipy.sparse.eye(3, format="csc"), np.ones(3)).tolist() == [1, 1, 1]
    assert scipy.stats.norm.cdf(0) == 0.5
    y = (a[:, 0] > 0.5).astype(int)
    scaled = StandardScaler().fit_transform(MinMaxScaler().fit_transform(a))
    forest = RandomForestClassifier(10, random_state=0, n_jobs=2).fit(scaled, y)
    assert confusion_matrix(y, forest.predict(scaled)).trace() == 20
    assert np.testing.assert_allclose is not None
    assert np.fft.irfft(np.fft.rfft([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_hdf5_files() -> None:
    import tempfile

    import h5py

    with tempfile.TemporaryDirectory() as folder, h5py.File(f"{folder}/x.h5", "w") as file:
        file.create_dataset("x", data=[1, 2, 3], compression="gzip")
        assert file["x"][:].tolist() == [1, 2, 3]
