"""This package's EM against other Gaussian mixture libraries, on the same data from the same start."""
