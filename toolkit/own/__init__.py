"""People's own code: a script, notebooks or a shell in a container of kit's images, with the machine's GPUs."""
