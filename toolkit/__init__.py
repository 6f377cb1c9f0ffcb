"""kit: finds where a GPU machine loses its GPUs, builds TensorFlow images that have them, and trains in those."""
