"""Who is here and what they offer: SWIM with Lifeguard, the replicated table and its repair. Pure machines."""
