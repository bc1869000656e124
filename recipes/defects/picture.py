"""What each defect costs, as points with their intervals."""
def draw(results, path):
    path.write_bytes(b"")
