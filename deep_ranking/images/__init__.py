"""Images: found, decoded, augmented, streamed. Only the batches and the augmentation import Keras."""
