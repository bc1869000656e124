"""What an image looks like, with nothing to train: a frozen network read at two depths, and components."""
