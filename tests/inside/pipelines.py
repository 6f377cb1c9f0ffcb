"""tf.data, TFRecord files, and what reads images, texts and numbers into them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(tempfile.mkdtemp())


def numbers(dataset: tf.data.Dataset) -> list[int]:
    return [int(x) for x in dataset.as_numpy_iterator()]


def test_map_filter_batch_shuffle_prefetch() -> None:
    squares = tf.data.Dataset.range(10).map(lambda x: x * x, num_parallel_calls=tf.data.AUTOTUNE)
    assert numbers(squares.filter(lambda x: x % 2 == 0)) == [0, 4, 16, 36, 64]
    batches = list(squares.batch(4, drop_remainder=True).prefetch(2).as_numpy_iterator())
    assert [batch.tolist() for batch in batches] == [[0, 1, 4, 9], [16, 25, 36, 49]]
    shuffled = numbers(squares.shuffle(10, seed=1))
    assert shuffled != sorted(shuffled) == numbers(squares)
    assert numbers(squares.cache().repeat(2).take(11))[-1] == 0


def test_interleave_zip_window_and_reduce() -> None:
    mixed = tf.data.Dataset.range(3).interleave(lambda x: tf.data.Dataset.from_tensors(x).repeat(2), cycle_length=3)
    assert numbers(mixed) == [0, 1, 2, 0, 1, 2]
    windows = tf.data.Dataset.range(5).window(2, drop_remainder=True).flat_map(lambda w: w.batch(2))
    assert [pair.tolist() for pair in windows.as_numpy_iterator()] == [[0, 1], [2, 3]]
    zipped = tf.data.Dataset.zip(tf.data.Dataset.range(3), tf.data.Dataset.range(3, 6))
    assert int(zipped.reduce(np.int64(0), lambda state, pair: state + pair[0] * pair[1])) == 0 * 3 + 1 * 4 + 2 * 5


def test_generator_and_ragged_rows() -> None:
    made = tf.data.Dataset.from_generator(
        lambda: (list(range(n)) for n in (1, 3, 2)), output_signature=tf.TensorSpec([None], tf.int32)
    )
    (ragged,) = made.ragged_batch(3)
    assert ragged.to_list() == [[0], [0, 1, 2], [0, 1]]
    (padded,) = made.padded_batch(3)
    assert padded.shape == (3, 3)


def test_tfrecord_files_compressed_and_not() -> None:
    def example(number: int) -> bytes:
        feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
        message: bytes = tf.train.Example(features=tf.train.Features(feature={"x": feature})).SerializeToString()
        return message

    for compression in ("", "GZIP", "ZLIB"):
        file = str(FOLDER / f"records{compression}")
        with tf.io.TFRecordWriter(file, compression) as writer:
            for number in range(5):
                writer.write(example(number))
        read = tf.data.TFRecordDataset(file, compression_type=compression)
        parsed = read.map(lambda row: tf.io.parse_single_example(row, {"x": tf.io.FixedLenFeature([], tf.int64)})["x"])
        assert numbers(parsed) == [0, 1, 2, 3, 4]


def test_saved_datasets_and_snapshots() -> None:
    tf.data.Dataset.range(5).save(str(FOLDER / "saved"))
    assert numbers(tf.data.Dataset.load(str(FOLDER / "saved"))) == [0, 1, 2, 3, 4]
    snapshot = tf.data.Dataset.range(5).snapshot(str(FOLDER / "snapshot"))
    assert numbers(snapshot) == numbers(snapshot) == [0, 1, 2, 3, 4]


def test_csv_and_text() -> None:
    (FOLDER / "rows.csv").write_text("age,effect\n13,0\n65,1\n")
    rows = tf.data.experimental.make_csv_dataset(
        str(FOLDER / "rows.csv"), 2, label_name="effect", num_epochs=1, shuffle=False
    )
    ((features, labels),) = rows
    assert (features["age"].numpy().tolist(), labels.numpy().tolist()) == ([13, 65], [0, 1])
    lines = tf.data.TextLineDataset(str(FOLDER / "rows.csv")).skip(1)
    assert [line.decode() for line in lines.as_numpy_iterator()] == ["13,0", "65,1"]
    words = tf.strings.split(["the drug trial"]).to_list()
    assert words == [[b"the", b"drug", b"trial"]]
    assert tf.strings.unicode_decode(["ä"], "UTF-8").to_list() == [[228]]
    assert bool(tf.strings.regex_full_match("abc", "a.c"))


def test_pictures_in_each_format() -> None:
    picture = tf.cast(tf.random.stateless_uniform([16, 16, 3], [1, 2], 0, 255, tf.int32), tf.uint8)
    assert np.array_equal(tf.io.decode_png(tf.io.encode_png(picture)), picture)
    assert tf.io.decode_jpeg(tf.io.encode_jpeg(picture, quality=95)).shape == (16, 16, 3)
    bmp = b"BM:\0\0\0\0\0\0\0006\0\0\0(\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0\0\0\0\0\4\0\0\0" + bytes(16) + b"\1\2\3\0"
    assert tf.io.decode_bmp(bmp).numpy().ravel().tolist() == [3, 2, 1]
    gif = b"GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    assert tf.io.decode_gif(gif).shape == (1, 1, 1, 3)
    assert tf.image.resize(picture, [8, 8]).shape == (8, 8, 3)
    assert tf.image.adjust_hue(picture, 0.1).shape == (16, 16, 3)


def test_sound() -> None:
    tone = tf.sin(tf.linspace(0.0, 100.0, 800))[:, tf.newaxis]
    sound, rate = tf.audio.decode_wav(tf.audio.encode_wav(tone, 8000))
    assert (int(rate), sound.shape) == (8000, (800, 1))
    assert tf.signal.stft(tone[:, 0], 128, 64).shape == (11, 65)


def test_dataset_service_by_grpc() -> None:
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    worker = tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(dispatcher_address=address)
    )
    served = tf.data.Dataset.range(4).apply(
        tf.data.experimental.service.distribute(processing_mode="parallel_epochs", service=dispatcher.target)
    )
    assert sorted(numbers(served)) == [0, 1, 2, 3]
    del worker, dispatcher


def test_preprocessing_layers() -> None:
    import keras

    vectorize = keras.layers.TextVectorization(output_mode="int")
    vectorize.adapt(["one two", "two three"])
    assert vectorize(["two"]).shape[0] == 1
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"])
    assert lookup(["b"]).numpy().tolist() == [2]
    normal = keras.layers.Normalization()
    normal.adapt(np.array([[1.0], [3.0]]))
    assert abs(float(normal(np.array([[2.0]]))[0, 0])) < 1e-6
    (FOLDER / "pictures/a").mkdir(parents=True)
    for name in "xy":
        tf.io.write_file(str(FOLDER / f"pictures/a/{name}.png"), tf.io.encode_png(tf.zeros([4, 4, 3], tf.uint8)))
    ((pictures, _),) = keras.utils.image_dataset_from_directory(FOLDER / "pictures", image_size=(4, 4), verbose=False)
    assert pictures.shape == (2, 4, 4, 3)
