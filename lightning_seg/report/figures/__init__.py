"""The report's figures, drawn with matplotlib; each function returns a :class:`.style.Figure`."""
