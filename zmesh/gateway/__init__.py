"""The HTTP side of a box: gunicorn workers that route by their own replica of the table."""
