"""The profiler writes traces and serves them, the debugger dumps, graphs are measured."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import tensorflow as tf

FOLDER = Path(tempfile.mkdtemp())


def work() -> tf.Tensor:
    return tf.reduce_sum(tf.function(lambda x: x @ x)(tf.ones([64, 64])))


def test_profiler_writes_a_trace() -> None:
    tf.profiler.experimental.start(str(FOLDER / "profile"))
    with tf.profiler.experimental.Trace("step", step_num=1, _r=1):
        work()
    tf.profiler.experimental.stop()
    (trace,) = (FOLDER / "profile").rglob("*.xplane.pb")
    from tensorflow.core.protobuf import config_pb2  # noqa: F401 the messages that tools read it by
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(trace.read_bytes())
    names = {event.name for plane in space.planes for event in plane.event_metadata.values()}
    assert any("step" in name for name in names), names
    assert any("MatMul" in name for name in names), names


def test_profiler_as_a_server() -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    tf.profiler.experimental.server.start(port)
    socket.create_connection(("localhost", port), timeout=10).close()


def test_debugger_dumps() -> None:
    tf.debugging.experimental.enable_dump_debug_info(str(FOLDER / "dump"), tensor_debug_mode="FULL_HEALTH")
    work()
    tf.debugging.experimental.disable_dump_debug_info()
    assert list((FOLDER / "dump").iterdir())


def test_graph_is_optimized_and_measured() -> None:
    graph = tf.function(lambda x: x @ x).get_concrete_function(tf.TensorSpec([8, 8]))
    from tensorflow.python.profiler.model_analyzer import profile
    from tensorflow.python.profiler.option_builder import ProfileOptionBuilder

    options = {**ProfileOptionBuilder.float_operation(), "output": "none"}
    assert profile(graph.graph, options=options).total_float_ops == 2 * 8**3
