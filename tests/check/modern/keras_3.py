"""A modern script: nothing of it is to be accused, whatever it says in strings and comments."""
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from keras.datasets import mnist
from keras.utils import to_categorical
from tensorflow.keras import backend as K
from tensorflow.keras.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from tensorflow.keras.layers import BatchNormalization, Conv2D, Dense, Flatten
from tensorflow.keras.optimizers import Adam
from tensorflow.keras.preprocessing.image import ImageDataGenerator
from tensorflow.keras.preprocessing.text import Tokenizer

# from keras.layers.core import Dense; Adam(lr=.0001); tf.Session()
print("from keras.layers.core import Dense, tf.placeholder, model.fit_generator(lr=1)")
for gpu in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(gpu, True)

model = keras.Sequential([keras.Input(shape=(8, 8, 1)), Conv2D(4, 3), BatchNormalization(), Flatten(), Dense(2)])
schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=10, decay_rate=0.9)
model.compile(Adam(learning_rate=schedule, weight_decay=1e-4), loss="mse", metrics=["acc"])
history = model.fit(np.zeros((4, 8, 8, 1)), to_categorical([0, 1, 0, 1], num_classes=2), epochs=1, verbose=0)
print(history.history["acc"], K.mean(K.constant([1.0])), ops.mean([1.0]))
model.save("model.keras")
model.save_weights("model.weights.h5")
model.save(os.path.join("folder", "model.keras"))
folder = "folder"
model.save(folder + "/model.keras")
model.export("folder")
keras.models.load_model("model.keras", compile=False)
ModelCheckpoint("best.keras", monitor="val_acc", save_best_only=True)
ModelCheckpoint("best.weights.h5", save_weights_only=True)
ModelCheckpoint("best.h5", save_weights_only=False)
model.save("folder", zipped=False)
keras.models.load_model("folder")
keras.models.load_model("hf://owner/model")
model.save(f"{folder}/{model.name}.keras")
ModelCheckpoint("{epoch}-{val_loss:.2f}.keras")
model.optimizer.learning_rate.assign(0.1)
layers.Embedding(10, 2, weights=[np.zeros((10, 2))])
layers.Convolution2D(3, 3)
layers.Conv2D(3, 3, 2)
keras.initializers.get("normal")
tf.keras.utils.Sequence, keras.utils.Sequence, tf.optimizers.Adam(0.1), tf.losses.MSE, tf.nn.max_pool, tf.where
