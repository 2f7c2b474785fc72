"""Speed and memory, side by side with peers, in one run. Run by hand: `python -m benchmarks`."""
