"""What runs on some versions alone, or falls back to what is there."""
import sys

import tensorflow as tf
from packaging.version import Version

try:
    from keras.layers.core import Dense
except ImportError:
    from tensorflow.keras.layers import Dense
try:
    from tensorflow.keras.layers import Flatten
except ImportError:
    from keras.layers.core import Flatten
try:
    import tensorflow_addons as tfa
except ModuleNotFoundError:
    tfa = None
try:
    from keras.utils import np_utils, multi_gpu_model
except Exception:
    np_utils = multi_gpu_model = None
try:
    session = tf.Session()
except AttributeError:
    session = tf.compat.v1.Session()

if Version(tf.__version__) < Version("2.0"):
    tf.set_random_seed(1)
    tf.logging.set_verbosity(0)
else:
    tf.random.set_seed(1)
TF1 = tf.__version__.startswith("1.")
if TF1:
    tf.enable_eager_execution()
seed = tf.set_random_seed if TF1 else tf.random.set_seed
if hasattr(tf, "placeholder"):
    tf.placeholder(tf.float32)
if tfa is not None:
    tfa.layers.GroupNormalization()
Dense(3), Flatten()
tf.log = tf.math.log
tf.log(1.0)
