"""Every public module and name of TensorFlow and Keras is there, and what kit's start leaves for later is the real thing."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import types
from functools import cache
from typing import Any

import tensorflow as tf

# Walks the names under `tf` as a program sees them, and says each with the kind of what it is.
SAYS = """
import inspect, json, sys, types
import tensorflow as tf

def kind(value):
    if isinstance(value, types.ModuleType): return "module"
    return "class" if inspect.isclass(value) else "callable" if callable(value) else "value"

seen, found = set(), {}
def walk(module, name):
    if name in seen or name.count(".") > 6: return
    seen.add(name)
    for attribute in dir(module):
        if attribute.startswith("_") and attribute != "__internal__": continue
        try: value = getattr(module, attribute)
        except Exception as error: found[f"{name}.{attribute}"] = type(error).__name__; continue
        found[f"{name}.{attribute}"] = kind(value)
        if isinstance(value, types.ModuleType) and str(vars(value).get("__name__", "")).startswith("tensorflow"):
            walk(value, f"{name}.{attribute}")
# What Python's import system notes in a module, of each that the import loads.
def told(module):
    spec, kept = module.__spec__, ("__name__", "__file__", "__cached__", "__package__", "__path__")
    return [
        *(str(vars(module).get(name)) for name in kept),
        *(str(getattr(spec, name)) for name in ("name", "origin", "cached", "has_location", "submodule_search_locations")),
        f"{type(spec.loader).__module__}.{type(spec.loader).__name__}" if spec.loader else None,
        str(vars(spec.loader)) if hasattr(spec.loader, "path") else None,
        module.__loader__ is spec.loader,
    ]

loaded = {name: told(module) for name, module in sys.modules.items() if getattr(module, "__spec__", None)}
walk(tf, "tf")
json.dump({"names": found, "modules": loaded}, sys.stdout)
"""


def modules(package: types.ModuleType) -> list[str]:
    return [
        info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda _: None)
    ]


def test_every_public_module_of_tensorflow_imports_with_all_its_names() -> None:
    from tensorflow._api import v2

    wrong = []
    names = modules(v2)
    for name in names:
        try:
            module = importlib.import_module(name)
            for attribute in dir(module):
                getattr(module, attribute)
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    assert not wrong, wrong
    assert len(names) > 250, len(names)


def test_every_public_module_of_keras_imports() -> None:
    import keras

    names = [name for name in modules(keras) if ".src." not in name and not name.endswith("_test")]
    for name in names:
        importlib.import_module(name)
    assert len(names) > 50, len(names)


@cache
def quick_and_unchanged() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a program says of TensorFlow where kit's start is in use, and where it is not."""
    # Without `site` no .pth file is read, and so nothing of kit's is in Python's start.
    packages = os.path.dirname(os.path.dirname(tf.__file__))  # noqa: PTH120
    before = f"import sys; sys.path.append({packages!r})\n"
    commands = [sys.executable, "-c", SAYS], [sys.executable, "-S", "-c", before + SAYS]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    quick, unchanged = (json.loads(each.communicate(timeout=120)[0]) for each in both)
    return quick, unchanged


def test_the_names_are_those_of_an_unchanged_tensorflow() -> None:
    quick, eager = (each["names"] for each in quick_and_unchanged())
    assert len(eager) > 10_000, len(eager)
    differ = {name: (quick.get(name), eager.get(name)) for name in quick.keys() | eager.keys()}
    assert not {name: kinds for name, kinds in differ.items() if kinds[0] != kinds[1]}


def test_the_modules_are_those_of_an_unchanged_tensorflow() -> None:
    quick, eager = (each["modules"] for each in quick_and_unchanged())
    both = quick.keys() & eager.keys()
    assert len(both) > 2_000, len(both)
    assert not {name: (quick[name], eager[name]) for name in both if quick[name] != eager[name]}
    more = quick.keys() - eager.keys()
    assert not {name for name in more if name.startswith(("tensorflow", "keras"))}, more


def test_version_1_by_each_of_its_names() -> None:
    from tensorflow.compat import v1
    from tensorflow.compat.v1 import Session, placeholder

    assert v1.Session is Session is tf.compat.v1.Session
    with v1.Graph().as_default(), Session() as session:
        x = placeholder(tf.float32, [None])
        assert list(session.run(2 * x, {x: [1.0, 2.0]})) == [2.0, 4.0]
    assert inspect.ismodule(tf.compat.v1)
    assert v1.train.Saver is tf.compat.v1.train.Saver
    assert v1.get_variable.__name__ == "get_variable"
    assert tf.compat.v2.constant is tf.constant
    assert "Session" in dir(tf.compat.v1)


def test_version_1_behaviour_in_a_process_of_its_own() -> None:
    code = (
        "import tensorflow.compat.v1 as tf; tf.disable_v2_behavior(); assert not tf.executing_eagerly()\n"
        "x = tf.get_variable('x', [], initializer=tf.zeros_initializer()); step = x.assign_add(2.)\n"
        "s = tf.Session(); s.run(tf.global_variables_initializer()); assert s.run(step) == 2., s.run(x)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_names_can_be_replaced_for_a_while() -> None:
    from unittest import mock

    with mock.patch.object(tf.compat.v1, "Session", "replaced"):
        assert tf.compat.v1.Session == "replaced"
    assert inspect.isclass(tf.compat.v1.Session)
    with mock.patch("tensorflow.compat.v1.logging.info", return_value="replaced"):
        assert tf.compat.v1.logging.info("x") == "replaced"


def test_feature_columns() -> None:
    age = tf.feature_column.numeric_column("age")
    kind = tf.feature_column.categorical_column_with_vocabulary_list("kind", ["a", "b"])
    assert age.name == "age"
    assert tf.feature_column.indicator_column(kind).variable_shape.as_list() == [1, 2]


def test_keras_wrappers_for_scikit_learn() -> None:
    import keras
    import numpy as np

    def net(X: np.ndarray, y: np.ndarray) -> keras.Model:  # noqa: N803 scikit-learn's names
        made = keras.Sequential([keras.layers.Dense(1)])
        made.compile("sgd", "mse")
        return made

    x, y = np.arange(8.0).reshape(8, 1), np.arange(8.0).reshape(8, 1)
    fitted = keras.wrappers.SKLearnRegressor(net, fit_kwargs={"verbose": 0}).fit(x, y)
    assert len(fitted.predict(x)) == 8


def test_packages_that_waited_are_themselves_once_imported() -> None:
    code = (
        "import sys, types, tensorflow, keras\n"
        "assert not {'h5py', 'requests', 'scipy.sparse', 'sklearn'} & set(sys.modules)\n"
        "import h5py, requests, requests.adapters, scipy.sparse\n"
        "from keras.wrappers import SKLearnClassifier\n"
        "assert {type(each) for each in (h5py, requests, scipy.sparse, keras.wrappers)} == {types.ModuleType}\n"
        "assert requests.adapters.HTTPAdapter is requests.sessions.HTTPAdapter\n"
        "from tensorflow.python.keras import callbacks\n"
        "from tensorflow.python.keras.engine import training_arrays_v1 as legacy\n"
        "assert callbacks.requests.get is requests.get\n"
        "assert legacy.issparse(scipy.sparse.eye(2)) and not legacy.issparse([0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]


def test_modules_have_their_sources() -> None:
    assert "def matmul" in inspect.getsource(tf.linalg.matmul)
    assert os.path.isfile(str(tf.compat.v1.__file__))  # noqa: PTH113


def test_twenty_threads_that_import_at_once() -> None:
    code = (
        "import threading, sys\n"
        "errors = []\n"
        "def work(n):\n"
        "    try:\n"
        "        import tensorflow as tf, keras\n"
        "        assert tf.compat.v1.Session and tf.feature_column.numeric_column and tf.constant([n]).numpy()[0] == n\n"
        "        assert keras.wrappers.SKLearnClassifier and tf.compat.v2.constant\n"
        "        import requests.adapters, h5py\n"
        "        assert requests.adapters.HTTPAdapter and requests.get and h5py.File\n"
        "    except Exception as error:\n"
        "        errors.append(repr(error))\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "sys.exit('; '.join(errors) if errors else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]
