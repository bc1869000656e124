"""Learning from ratings: a convex metric in linear time, and the map that an index is searched under."""
