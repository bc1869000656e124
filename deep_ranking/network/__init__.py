"""The network f: image -> vector."""
