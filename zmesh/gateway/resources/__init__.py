"""One resource class a path."""
