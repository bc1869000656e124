"""Where an index is kept: a folder on this machine, or whatever a store is registered for."""
