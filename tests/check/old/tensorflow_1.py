"""A script of TensorFlow 1."""
import os

import tensorflow as tf
from tensorflow.contrib import slim  #> removed
from tensorflow.examples.tutorials.mnist import input_data  #> renamed: from tensorflow.keras.datasets import mnist as input_data
from tensorflow.python.keras.layers import Dense  #> deprecated: from tensorflow.keras.layers import Dense

os.environ['KERAS_BACKEND'] = 'theano'  #> removed
flags = tf.app.flags  #> moved: tf.compat.v1.app.flags
tf.set_random_seed(1)  #> moved: tf.compat.v1.set_random_seed
tf.logging.set_verbosity(tf.logging.INFO)  #> moved: tf.compat.v1.logging.set_verbosity #> moved: tf.compat.v1.logging.INFO
x = tf.placeholder(tf.float32, [None, 2])  #> moved: tf.compat.v1.placeholder
with tf.variable_scope('a'):  #> moved: tf.compat.v1.variable_scope
    w = tf.get_variable('w', [2, 1], initializer=tf.truncated_normal_initializer())  #> moved: tf.compat.v1.get_variable #> moved: tf.compat.v1.truncated_normal_initializer
h = tf.layers.dense(x, 3)  #> renamed: tf.keras.layers.Dense
y = tf.log(tf.to_float(tf.reduce_sum(x, keep_dims=True)))  #> moved: tf.math.log #> moved: tf.compat.v1.to_float #> renamed: keepdims=True
config = tf.ConfigProto(gpu_options=tf.GPUOptions(allow_growth=True))  #> moved: tf.compat.v1.ConfigProto #> moved: tf.compat.v1.GPUOptions
with tf.Session(config=config) as session:  #> moved: tf.compat.v1.Session
    session.run(tf.global_variables_initializer())  #> moved: tf.compat.v1.global_variables_initializer
print(tf.config.experimental.list_physical_devices('GPU'))  #> renamed: tf.config.list_physical_devices
print(tf.test.is_gpu_available())  #> deprecated: tf.config.list_physical_devices
dataset = tf.data.Dataset.range(3).batch(2)
dataset.make_one_shot_iterator()  #> removed
