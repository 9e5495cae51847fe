"""Pages of the docs whose numbers come from benchmarks/results: one page a file."""
