"""Training: settings, run, callbacks, checkpoints."""
