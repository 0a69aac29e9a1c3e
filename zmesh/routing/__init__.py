"""The asker's side: which node a request goes to, and what may be done when that fails. Pure machines."""
