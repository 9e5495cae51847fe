"""What `benchmarks/shotgun.py` measures, and how it is summed up."""
