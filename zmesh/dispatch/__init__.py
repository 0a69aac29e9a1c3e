"""The doer's side: queues, runner slots and what was already executed. Pure machines."""
