"""Names that are bound under others, both namespaces, plain assignment."""
import keras.layers as L
from tensorflow.keras import utils as u  #> moved: from tensorflow.keras import utils as u
import tensorflow as tf
import tensorflow.keras as tk
from keras import layers, utils as ku
from keras import optimizers as opt
from keras.engine import topology, Layer  #> moved: from tensorflow.keras.layers import Layer #> removed
from keras.layers import (
    Dense,
    CuDNNLSTM as Cells,  #> renamed: from tensorflow.keras.layers import LSTM as Cells
    Merge,  #> renamed: from tensorflow.keras.layers import concatenate as Merge
)
from keras.losses import mean_squared_error as mse
from tensorflow.keras.losses import cosine_similarity as cosine_proximity  #> moved: from keras.losses import mean_squared_error as mse; from tensorflow.keras.losses import cosine_similarity as cosine_proximity
from tensorflow import keras as k
from tensorflow.keras import backend as KB

u.to_categorical([0, 1])
core = layers  #> moved: layers
core.Dense(3)
C = L.Conv2D  #> moved: L.Conv2D
C(3, (3, 3), padding='same')  #> renamed: padding='same'
tk.layers.Dense(2, kernel_initializer='uniform')  #> moved: tk.layers.Dense #> renamed: kernel_initializer='uniform'
k.utils.to_categorical([1])  #> moved: k.utils.to_categorical
ku.multi_gpu_model(None)  #> renamed: tf.distribute.MirroredStrategy
A = opt.Adam
A(learning_rate=1e-3)  #> renamed: learning_rate=1e-3
opt.SGD(0.1)  #> ignored
mse([1.0], [1.0])  #> moved: mse
tf.train.AdamOptimizer(0.1).minimize(lambda: 0)  #> moved: tf.compat.v1.train.AdamOptimizer
KB.set_session(None)  #> removed
KB.mean([1.0])


def shadowed(layers, tf):
    return layers.core.Dense, tf.Session


class Net:
    def __init__(self):
        self.model = k.Sequential()
        self.other = None

    def train(self, generator):
        self.model.fit(generator)  #> renamed: self.model.fit
        self.other.fit_generator(generator)


def build():
    model = tk.models.Sequential([Dense(1)])
    model.compile('sgd', 'mse')
    return model


built = build()
history = built.fit(iter([]), samples_per_epoch=4)  #> renamed: built.fit #> removed


def evaluate(model: tk.Model, my_model, thing):
    model.evaluate(iter([]))  #> renamed: model.evaluate
    my_model.predict_generator(iter([]))  #> renamed: my_model.predict
    thing.predict_generator(iter([]))
