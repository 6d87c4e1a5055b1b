"""The folder of a study and the state of its runs."""
