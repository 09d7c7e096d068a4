"""The programs: what scripts/NAME.py and `adeada NAME` do; one a process, for each defines its flags."""
