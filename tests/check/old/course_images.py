"""Cats and dogs, as the course had it."""
import itertools

import keras
import numpy as np
from keras import backend as K
from keras.layers import Activation
from keras.layers.core import Dense, Flatten  #> moved: from tensorflow.keras.layers import Dense, Flatten
from keras.layers.normalization import BatchNormalization  #> moved: from tensorflow.keras.layers import BatchNormalization
from keras.layers.convolutional import *  #> moved: from tensorflow.keras.layers import *
from keras.metrics import categorical_crossentropy
from keras.models import Sequential
from keras.optimizers import Adam
from keras.preprocessing.image import ImageDataGenerator  #> moved: from tensorflow.keras.preprocessing.image import ImageDataGenerator
from keras.preprocessing import image

train_batches = ImageDataGenerator().flow_from_directory(
    'train', target_size=(224, 224), classes=['dog', 'cat'], batch_size=10)

model = Sequential([
    Conv2D(32, (3, 3), activation='relu', input_shape=(224, 224, 3)),  #> deprecated: Input(shape=(224, 224, 3))
    Flatten(),
    Dense(2, activation='softmax'),
])
model.compile(Adam(lr=.0001),  #> renamed: learning_rate=.0001
              loss='categorical_crossentropy', metrics=['accuracy'])
model.fit_generator(train_batches, steps_per_epoch=4,  #> renamed: model.fit
                    validation_data=train_batches, validation_steps=4, epochs=5, verbose=2)
predictions = model.predict_generator(train_batches, steps=1, verbose=0)  #> renamed: model.predict

vgg16_model = keras.applications.vgg16.VGG16()
tuned = Sequential()
for layer in vgg16_model.layers:
    tuned.add(layer)
tuned.layers.pop()
tuned.fit_generator(train_batches, workers=4)  #> renamed: tuned.fit #> removed
image.ImageDataGenerator(rotation_range=10)  #> moved: ImageDataGenerator
K.square(K.epsilon())  #> moved: tf.keras.backend.square
