"""Learning from ratings: a convex metric in time linear in them, and the map that an index is searched under."""
