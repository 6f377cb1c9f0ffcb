"""Counts TensorFlow's GPUs as the Keras course does, and prints what lets its memory grow."""

import os

import tensorflow as tf

print("seen", len(tf.config.list_physical_devices("GPU")), os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH"))
