"""The checkpoint of a training: everything that its next epoch depends on, in one file that is whole at any moment."""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

NAME = "checkpoint.npz"
SHARE = 0.1  # of the time, at most, goes into checkpoints


def callback(folder: Path, history: dict[str, list[float]]) -> Any:
    """Return the Keras callback that keeps a checkpoint after each epoch, after some where the model is large, and adds
    the epoch's metrics to a history."""
    import keras

    class Keep(keras.callbacks.Callback):  # type: ignore[misc]
        cost, kept = 0.0, float("-inf")  # seconds that the quickest one took, and when the last was

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            for name, value in (logs or {}).items():
                history.setdefault(name, []).append(float(value))
            began = time.perf_counter()
            if self.cost <= (began - self.kept) * SHARE:
                save(folder, self.model, epoch + 1, history)
                self.kept = time.perf_counter()
                self.cost = min(self.cost or math.inf, self.kept - began)

    return Keep()


def save(folder: Path, model: Any, epochs: int, history: dict[str, list[float]]) -> None:
    """Write weights, optimizer and random states after so many `epochs`, with the metrics of each, in place of the last.

    The file gets its name when it is whole, so that a kill or a full disk leaves the one before.
    """
    kept: dict[str, Any] = {f"v{number}": np.asarray(variable) for number, variable in enumerate(_variables(model))}
    told = np.frombuffer(json.dumps({"epochs": epochs, "history": history}).encode(), np.uint8)
    with whole(folder / NAME) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **kept, told=told)


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """Give the path at which to write a file; it gets its name when it is whole, and its room back where it is not."""
    unfinished = file.with_name(f".unfinished.{file.name}")
    try:
        yield unfinished
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def load(folder: Path, model: Any) -> tuple[int, dict[str, list[float]]]:
    """Put a checkpoint's state into a compiled model and return its epochs and their metrics; (0, {}) where there is none.

    Raises ValueError where it is another model's.
    """
    file = folder / NAME
    if not file.exists():
        return 0, {}
    variables = _variables(model)
    try:
        loaded = np.load(file)
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is damaged ({error}); start anew, without --resume") from None
    with loaded as kept:
        if len(kept.files) != len(variables) + 1:
            raise ValueError(f"{file} holds {len(kept.files) - 1} variables, and the model has {len(variables)}")
        for number, variable in enumerate(variables):
            variable.assign(kept[f"v{number}"])
        told = json.loads(kept["told"].tobytes())
    return told["epochs"], told["history"]


def _variables(model: Any) -> list[Any]:
    """Return the model's variables, the states of its random layers among them, and its optimizer's."""
    if not getattr(model.optimizer, "built", getattr(model.optimizer, "_built", False)):  # the second is Keras 2's
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
