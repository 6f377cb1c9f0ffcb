"""The only door to containers: what to start as plain records, and the engines that start it."""
