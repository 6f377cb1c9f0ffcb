"""Graphs, XLA on the CPU, gradients, linear algebra, errors that come through C++, and several devices."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def collatz(n: tf.Tensor) -> tf.Tensor:
    steps = tf.constant(0)
    while n != 1:
        if n % 2 == 0:  # noqa: SIM108 autograph's if
            n = n // 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


def raising(n: tf.Tensor) -> tf.Tensor:
    for i in tf.range(n):
        if i > 3:
            break
        tf.print(i, output_stream="file:///tmp/printed")
    return n


def test_autograph_of_functions_in_a_file() -> None:
    graph = tf.function(collatz)
    assert int(graph(tf.constant(27))) == 111
    assert "while_loop" in tf.autograph.to_code(collatz) or "while_stmt" in tf.autograph.to_code(collatz)
    assert int(tf.function(raising)(tf.constant(9))) == 9


def test_xla_compiles_for_the_cpu() -> None:
    @tf.function(jit_compile=True)
    def step(x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.nn.softmax(tf.nn.relu(x @ w)) * tf.math.erf(x @ w))

    x, w = tf.random.stateless_normal([8, 16], [1, 1]), tf.random.stateless_normal([16, 4], [2, 2])
    plain = tf.reduce_sum(tf.nn.softmax(tf.nn.relu(x @ w)) * tf.math.erf(x @ w))
    np.testing.assert_allclose(step(x, w), plain, rtol=1e-4)
    assert "HloModule" in step.experimental_get_compiler_ir(x, w)(stage="hlo")
    assert "HloModule" in step.experimental_get_compiler_ir(x, w)(stage="optimized_hlo")


def test_xla_compiles_a_training_step_with_convolutions_and_loops() -> None:
    import keras

    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [keras.layers.Conv2D(4, 3), keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
    x, y = np.random.default_rng(0).random((16, 8, 8, 1)).astype("float32"), np.arange(16) % 2
    losses = net.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]

    @tf.function(jit_compile=True)
    def sorted_and_looped(v: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(3):
            v = tf.sort(v) * 2
        return v

    assert sorted_and_looped(tf.constant([3.0, 1.0])).numpy().tolist() == [8.0, 24.0]


def test_gradients() -> None:
    x = tf.Variable(3.0)
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        y = x**3
        first = inner.gradient(y, x)
    assert (float(first), float(outer.gradient(first, x))) == (27.0, 18.0)

    @tf.custom_gradient
    def clipped(v: tf.Tensor) -> tuple[tf.Tensor, object]:
        return v, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)

    with tf.GradientTape() as tape:
        y = 5.0 * clipped(x)
    assert float(tape.gradient(y, x)) == 1.0
    with tf.autodiff.ForwardAccumulator(x, tf.constant(1.0)) as forward:
        y = tf.sin(x)
    np.testing.assert_allclose(forward.jvp(y), np.cos(3.0), rtol=1e-6)
    with tf.GradientTape() as tape:
        v = tf.Variable([1.0, 2.0])
        y = v * v
    assert tape.jacobian(y, v).numpy().tolist() == [[2.0, 0.0], [0.0, 4.0]]


def test_linear_algebra_and_transforms() -> None:
    a = tf.constant(np.random.default_rng(0).random((5, 5)) + 5 * np.eye(5))
    q, r = tf.linalg.qr(a)
    np.testing.assert_allclose(q @ r, a, atol=1e-8)
    s, u, v = tf.linalg.svd(a)
    np.testing.assert_allclose(u @ tf.linalg.diag(s) @ tf.linalg.adjoint(v), a, atol=1e-8)
    np.testing.assert_allclose(tf.linalg.inv(a) @ a, np.eye(5), atol=1e-8)
    symmetric = a @ tf.transpose(a)
    factor = tf.linalg.cholesky(symmetric)
    np.testing.assert_allclose(factor @ tf.transpose(factor), symmetric, atol=1e-8)
    values, _ = tf.linalg.eigh(symmetric)
    np.testing.assert_allclose(tf.reduce_prod(values), tf.linalg.det(symmetric), rtol=1e-6)
    wave = tf.cast(tf.constant([1.0, 2.0, 3.0, 4.0]), tf.complex64)
    np.testing.assert_allclose(tf.signal.ifft(tf.signal.fft(wave)), wave, atol=1e-5)
    sparse = tf.sparse.from_dense([[0.0, 2.0], [0.0, 0.0]])
    assert tf.sparse.sparse_dense_matmul(sparse, tf.ones([2, 1])).numpy().ravel().tolist() == [2.0, 0.0]
    assert tf.einsum("ij,jk->ik", tf.ones([2, 3]), tf.ones([3, 2])).numpy().tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_number_types() -> None:
    for dtype in (tf.float16, tf.bfloat16, tf.float64, tf.int8, tf.uint16, tf.complex128):
        assert tf.reduce_sum(tf.ones([3], dtype)).dtype == dtype
    assert tf.cast(tf.constant([1.5]), tf.float8_e4m3fn if hasattr(tf, "float8_e4m3fn") else tf.float16).shape == (1,)
    quantized = tf.quantization.fake_quant_with_min_max_args([0.1, 0.2], min=0, max=1)
    assert quantized.shape == (2,)


def test_errors_come_through_from_c_plus_plus() -> None:
    for wrong, kind in (
        (lambda: tf.ones([2, 3]) @ tf.ones([2, 3]), tf.errors.InvalidArgumentError),
        (lambda: tf.io.read_file("/nowhere"), tf.errors.NotFoundError),
        (lambda: tf.debugging.assert_equal(1, 2), tf.errors.InvalidArgumentError),
        (lambda: tf.gather([1], [5]), tf.errors.InvalidArgumentError),
        (tf.function(lambda: tf.debugging.check_numerics(tf.constant(np.nan), "x")), tf.errors.InvalidArgumentError),
        (lambda: tf.saved_model.load("/nowhere"), OSError),
        (lambda: tf.constant("x") + 1, (TypeError, ValueError, tf.errors.InvalidArgumentError)),
    ):  # fmt: skip
        try:
            wrong()
        except kind:
            continue
        raise AssertionError(f"no {kind}")
    try:
        tf.py_function(lambda: 1 // 0, [], tf.int32)
    except tf.errors.UnknownError as error:
        assert "ZeroDivisionError" in str(error)  # noqa: PT017


def test_control_flow_ragged_and_tensor_arrays() -> None:
    total = tf.while_loop(lambda i, _: i < 5, lambda i, s: (i + 1, s + i), (0, 0))[1]
    assert int(total) == 10
    assert int(tf.switch_case(tf.constant(1), [lambda: 1, lambda: 7])) == 7
    array = tf.TensorArray(tf.int32, 3).unstack([1, 2, 3])
    assert array.stack().numpy().tolist() == [1, 2, 3]
    assert tf.map_fn(lambda x: x * 2, tf.constant([1, 2])).numpy().tolist() == [2, 4]
    assert tf.vectorized_map(lambda x: x * 2, tf.constant([1, 2])).numpy().tolist() == [2, 4]
    assert tf.scan(lambda a, x: a + x, tf.constant([1, 2, 3])).numpy().tolist() == [1, 3, 6]
    assert tf.ragged.constant([[1], [2, 3]]).values.numpy().tolist() == [1, 2, 3]


def test_dtensor_and_structured_api() -> None:
    mesh = tf.experimental.dtensor.create_mesh([("x", 1)], device_type="CPU")
    layout = tf.experimental.dtensor.Layout.replicated(mesh, rank=1)
    assert tf.experimental.dtensor.call_with_layout(tf.zeros, layout, [2]).shape == (2,)
    assert tf.experimental.numpy.arange(3).shape == (3,)
    assert tf.nest.map_structure(lambda x: x + 1, {"a": 1}) == {"a": 2}


def test_strategies_on_the_cpu() -> None:
    import keras

    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        net = keras.Sequential([keras.layers.Dense(1)])
        net.compile("sgd", "mse")
    net.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    assert float(strategy.reduce("SUM", strategy.run(lambda: tf.constant(2.0)), axis=None)) == 2.0
    server = tf.distribute.Server.create_local_server()
    assert server.target.startswith("grpc://")
    with tf.compat.v1.Session(server.target, graph=tf.Graph()) as session, session.graph.as_default():
        assert session.run(tf.constant(3) + 4) == 7


def test_random_numbers_are_those_of_every_tensorflow() -> None:
    assert tf.random.stateless_uniform([2], [1, 2], 0, 1000, tf.int32).shape == (2,)
    tf.random.set_seed(1)
    first = tf.random.normal([3])
    tf.random.set_seed(1)
    assert np.array_equal(first, tf.random.normal([3]))
    assert tf.random.Generator.from_seed(1).normal([2]).shape == (2,)
