"""What benchmarks/gpu.py measures on one accelerator, a part a process."""
