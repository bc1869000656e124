"""Learning from ratings: descriptions of images by a frozen network, and a small map on top."""
