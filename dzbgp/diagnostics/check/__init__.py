"""What a run needs, tested and explained one by one; nothing is written, anywhere."""
