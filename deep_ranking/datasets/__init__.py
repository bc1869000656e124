"""Data sets: a small one drawn by code, real ones unpacked. NumPy and Pillow only, no Keras."""
