"""The parts one can choose from, listed, and templates for one's own."""
