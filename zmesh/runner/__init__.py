"""Runs one service's requests in the service's own environment, which holds zmesh, pyzmq and msgspec and no more."""
