"""What is measured: scripts/compare_gmm.py and scripts/scaling.py."""
