"""Objects of other libraries and of the script's own, with the names of Keras."""
import keras
import tensorflow.compat.v1 as tf
import torch
from keras.optimizers import Adam
from sklearn.linear_model import LogisticRegression
from torch.optim import SGD
from torch.optim import Adam as Adam  # the last one counts

from . import layers
from .keras import models

tf.disable_v2_behavior()
x = tf.placeholder(tf.float32, [None])
with tf.Session(config=tf.ConfigProto()) as session:
    session.run(tf.global_variables_initializer())
Adam([], lr=1e-3)
SGD([], lr=1e-3, weight_decay=0.1)
torch.optim.RMSprop([], lr=1e-3)
LogisticRegression().fit([[0]], [0]).predict_proba([[0]])
layers.core.Dense(1)
models.Sequential().fit_generator(1)


class Trainer:
    """Has methods of the same names."""

    def __init__(self, model):
        self.model = model

    def fit_generator(self, generator, nb_epoch=1):
        return nb_epoch

    def predict_classes(self, x):
        return x


trainer = Trainer(None)
trainer.fit_generator([], nb_epoch=3)
trainer.predict_classes(1)


class Wrapped(keras.Model):
    """Has one of them still."""

    def fit_generator(self, *args):
        return self.fit(*args)

    def train(self):
        return self.fit_generator(1)


Wrapped().fit_generator(1)


def Dense(units, init=None):
    return units, init


def to_yaml(model):
    return model


Dense(3, init="uniform")
keras_like = {"lr": 1, "acc": 2}
print(keras_like["acc"], [lr for lr in range(3)], lambda tf: tf.Session)
np_utils = trainer
np_utils.to_categorical = 1
history = {"acc": [1]}
print(history["acc"])
model = torch.nn.Linear(1, 1)
model.save("model")
for keras in [trainer]:
    keras.layers.core.Dense
