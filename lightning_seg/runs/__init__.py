"""One run: its folder, its claim, its training, its record."""
