"""The programs: what scripts/NAME.py and `adeada NAME` do; one per process, as each defines its flags."""
