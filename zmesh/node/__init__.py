"""The node daemon of a box: a shell over membership and dispatch, and what launches this box's services."""
