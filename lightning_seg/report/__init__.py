"""From the run records of a study to the answer: which loss to use, and how sure that is."""
