"""How fast the stages are over numbers of devices, batch sizes and precisions: scripts/scaling.py."""
