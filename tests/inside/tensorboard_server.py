"""TensorBoard serves what TensorFlow and Keras log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

FOLDER = Path(tempfile.mkdtemp())


def test_summaries_are_served_by_tensorboard() -> None:
    writer = tf.summary.create_file_writer(str(FOLDER / "logs"))
    with writer.as_default():
        for step in range(3):
            tf.summary.scalar("loss", 1.0 / (step + 1), step)
        tf.summary.text("note", "a drug trial", 0)
        tf.summary.histogram("weights", tf.random.normal([10]), 0)
        tf.summary.image("picture", tf.zeros([1, 4, 4, 3]), 0)
        tf.summary.trace_on(graph=True)
        tf.function(lambda x: x @ x)(tf.ones([4, 4]))
        tf.summary.trace_export("graph", 0)
    writer.flush()
    net = keras.Sequential([keras.layers.Dense(1)])
    net.compile("sgd", "mse")
    board = keras.callbacks.TensorBoard(FOLDER / "keras", histogram_freq=1, profile_batch=(1, 2))
    net.fit(np.ones((64, 2)), np.ones((64, 1)), batch_size=8, verbose=0, callbacks=[board])
    assert list((FOLDER / "keras").rglob("*.xplane.pb"))
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(FOLDER),
        "--port",
        "0",
        "--load_fast=false",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            said = ""
            url = None
            while url is None:
                line = server.stderr.readline()
                assert line, f"TensorBoard ended: {said}"
                said += line
                url = re.search(r"http://\S+:\d+/", line)
            address = re.sub(r"//[^:]+:", "//localhost:", url[0])

            def get(path: str) -> bytes:
                with urllib.request.urlopen(address + path, timeout=20) as answer:
                    read: bytes = answer.read()
                return read

            assert b"<title>TensorBoard</title>" in get("")
            until = time.monotonic() + 60
            while len(tags := json.loads(get("data/plugin/scalars/tags"))) < 2 and time.monotonic() < until:
                time.sleep(0.2)
            assert list(tags["logs"]) == ["loss"], tags
            assert "epoch_loss" in tags["keras/train"], tags
            values = json.loads(get("data/plugin/scalars/scalars?run=logs&tag=loss"))
            assert [round(row[2], 4) for row in values] == [1.0, 0.5, 0.3333]
            for plugin in ("histograms", "images", "text", "graphs"):
                assert get(f"data/plugin/{plugin}/{'info' if plugin == 'graphs' else 'tags'}")
            assert get("index.js")
        finally:
            server.kill()
