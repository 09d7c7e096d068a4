"""The page on which people answer what a run asks: a server (Starlette) and its files in `static/`."""
