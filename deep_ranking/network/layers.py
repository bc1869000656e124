"""The custom Keras layers; importing this module registers them, so that saved models load."""
