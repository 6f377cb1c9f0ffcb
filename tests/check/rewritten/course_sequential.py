# The course's "before" column, as a script. What is expected of a line stands behind #>.
import numpy as np
import keras
from keras import backend as K
from keras.models import Sequential
from keras.layers import Activation
from tensorflow.keras.layers import Dense  #> moved: from tensorflow.keras.layers import Dense
from keras.optimizers import Adam
from keras.metrics import categorical_crossentropy
from sklearn.preprocessing import MinMaxScaler

scaled = MinMaxScaler(feature_range=(0, 1)).fit_transform(np.arange(20.0).reshape(-1, 1))
labels = np.arange(20) % 2

model = Sequential([
    Dense(16, input_shape=(1,), activation='relu'),  #> deprecated: Input(shape=(1,))
    Dense(32, activation='relu'),
    Dense(2, activation='softmax'),
])
model.summary()
model.compile(Adam(learning_rate=.0001), loss='sparse_categorical_crossentropy', metrics=['accuracy'])  #> renamed: learning_rate=.0001
model.fit(scaled, labels, batch_size=10, epochs=20, shuffle=True, verbose=2)
rounded = model.predict_classes(scaled, batch_size=10, verbose=0)  #> removed
model.save('medical_trial_model.h5')  #> deprecated: 'medical_trial_model.keras'
model.save_weights('my_model_weights.h5')  #> removed: 'my_model_weights.weights.h5'
again = keras.models.load_model('medical_trial_model.h5')
again.predict(scaled)  #> renamed: again.predict
