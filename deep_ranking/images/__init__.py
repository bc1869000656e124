"""Images: found, decoded, augmented, streamed. Only the generator and the augmentation import Keras."""
