"""The embedded toy streets, drawn from nothing."""
