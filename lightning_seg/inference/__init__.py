"""What becomes of a finished run: predictions, scores on other data, files for other programs."""
