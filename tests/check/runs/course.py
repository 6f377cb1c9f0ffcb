# Of Keras 1 and 2; the newest image runs it once it is rewritten.
import numpy as np
from keras import backend as K
from keras.layers import Activation
from keras.layers.core import Dense, Dropout  # the layers
from keras.layers.normalization import BatchNormalization
from keras.models import Sequential
from keras.optimizers import SGD, Adam
from keras.preprocessing.image import ImageDataGenerator
from keras.utils import np_utils
from keras.utils.generic_utils import Progbar

x = np.random.RandomState(0).rand(40, 4).astype('float32')
y = np_utils.to_categorical((x[:, 0] > .5).astype(int), 2)


def loss(wanted, given):
    return K.mean(K.square(wanted - given), axis=-1)


model = Sequential([Dense(8, init='uniform'), BatchNormalization(), Activation('relu'), Dropout(p=.1), Dense(2)])
model.compile(Adam(lr=.01, decay=1e-6), loss=loss, metrics=['accuracy'])
history = model.fit(x, y, nb_epoch=2, validation_split=.25, verbose=0)
print(history.history['acc'], history.history['val_acc'])


def batches():
    while True:
        yield x, y


model.fit_generator(batches(), steps_per_epoch=2, nb_epoch=1, workers=1, verbose=0)
assert model.predict_proba(x, verbose=0).shape == (40, 2)
assert model.evaluate_generator(batches(), steps=1, verbose=0)
assert next(ImageDataGenerator(rescale=.5).flow(np.ones((2, 4, 4, 1)), batch_size=2)).max() == .5
SGD(lr=.1, momentum=.9)
Progbar(3).update(3)
