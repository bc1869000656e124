"""Training: settings, fit, callbacks, checkpoints."""
