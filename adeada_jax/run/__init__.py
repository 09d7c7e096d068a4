"""An experiment as a list of stages, and what makes them."""
