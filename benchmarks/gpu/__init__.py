"""Is the framework right on this device, and how fast: one program for any CUDA device, resumable in slices.

    python -m benchmarks.gpu                          # a slice of at most 8 minutes; the same line goes on
    python -m benchmarks.gpu --only 'network:*'       # some of the tasks
    python -m benchmarks.gpu --list
    python -m benchmarks.gpu --miniature              # small networks and images, on a CPU too: a test of itself

Each task writes its result to ``gpu.json`` as soon as it has ended; ``gpu.txt`` is the table of all. A task that ends
the process, or outlasts a whole slice, is noted as failed when the same line is given the next time, and not tried a
third time. The exit code is 0 when all is done and right, 1 when something is wrong, and 75 when tasks are left.
"""
