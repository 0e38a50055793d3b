"""A program that reads stored vectors and prints how many rows there are, and by how many MiB memory grew meanwhile."""

PEAK_OF_READING = """
import resource, sys
from lsr.vectors.io import iter_vectors
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
batches = iter_vectors(sys.argv[1], 500)
next(batches)
before, rows = peak(), 500
for batch in batches:
    rows += len(batch)
print(rows, (peak() - before) // 1024)
"""
