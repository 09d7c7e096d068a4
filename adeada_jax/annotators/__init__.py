"""Who labels the regions that a run buys."""
