"""A study on Weights & Biases: its summary run, its dashboard, and the upload of runs that were logged offline."""
