"""From a folder of images to an answer: which published setting it is like, what to run in the time there is."""
