"""What divides images into regions, and the region maps that are made of it."""
