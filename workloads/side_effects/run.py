"""Trains the course's Sequential model on the drug trial and reports every step as an event."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from runtime import emit, phase, stop_on_sigterm, tensorflow_gpus, versions
from side_effects.data import samples, scaled

VALIDATION_SPLIT = 0.1  # Keras takes the last tenth, which is why the data is shuffled before


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def model(device: str) -> Any:
    """Return the course's model, compiled: 642 parameters, input (1,), output (2,) class probabilities.

    Keras decides on XLA by the GPUs of the machine, hidden ones too; on the CPU the numbers must not depend on those.
    """
    import keras
    from keras.layers import Dense, Input

    built = keras.Sequential(
        [Input((1,)), Dense(16, activation="relu"), Dense(32, activation="relu"), Dense(2, activation="softmax")]
    )
    jit: Any = False if device == "cpu" else "auto"
    built.compile(
        keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit
    )
    return built


def train(net: Any, x: Any, y: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Fit the model, an `epoch` event an epoch, and return the last epoch's metrics with steps and their rate."""
    import keras

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            metrics = {name: float(value) for name, value in (logs or {}).items()}
            emit("epoch", epoch=epoch + 1, epochs=options.epochs, **metrics)

    start = time.perf_counter()
    history = net.fit(
        x,
        y,
        validation_split=VALIDATION_SPLIT,
        batch_size=options.batch_size,
        epochs=options.epochs,
        shuffle=True,
        verbose=0,
        callbacks=[Progress()],
    )
    seconds = time.perf_counter() - start
    steps = options.epochs * -(-trained(x) // options.batch_size)
    last = {name: float(values[-1]) for name, values in history.history.items()}
    return {**last, "epochs": options.epochs, "steps": steps, "steps_per_second": steps / seconds}


def trained(x: Any) -> int:
    """Return how many samples Keras trains on; the rest, the last ones, it holds out."""
    return int(len(x) * (1 - VALIDATION_SPLIT))


def confusion(net: Any, x: Any, y: Any) -> list[list[int]]:
    """Return the confusion matrix over the validation samples: row = true class, column = predicted class."""
    from sklearn.metrics import confusion_matrix

    held_out = slice(trained(x), None)
    predicted = net.predict(x[held_out], verbose=0).argmax(axis=1)
    matrix: list[list[int]] = confusion_matrix(y[held_out], predicted, labels=[0, 1]).tolist()
    return matrix


def main() -> int:
    options = arguments()
    stop_on_sigterm()
    emit("started")
    try:
        with phase("import"):
            import keras

            device = tensorflow_gpus(options.device)
            emit("versions", **versions())
            keras.utils.set_random_seed(options.seed)
        with phase("data"):
            ages, y = samples(options.seed)
            x = scaled(ages)
        with phase("compile"):
            net = model(device)
            net.summary(line_length=80, print_fn=lambda text: emit("summary", text=text))
        emit("device", device=device)
        with phase("train"):
            results = train(net, x, y, options)
        results["confusion_matrix"] = confusion(net, x, y)
        with phase("save"):
            net.save(options.out / "model.keras")
        emit("results", **results)
    except KeyboardInterrupt:
        emit("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
