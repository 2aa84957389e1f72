"""Training: config, data, objective, loop, checkpoints, metrics."""
