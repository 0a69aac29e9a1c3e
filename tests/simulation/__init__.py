"""The whole mesh in one process: the real machines under a seeded virtual clock, and everything that goes wrong.

A *world* has boxes; a box has a disk and processes (a node, gateways, runners); a process has sockets and can crash, be
frozen, or be slow. The processes do what the real shells do, in the same order; the machines in them are the real ones,
and every message is really encoded by its sender and decoded by its receiver, in the dialect of its socket.

To add a fault: one function in ``faults``. To add an invariant: one method in ``invariants``, called by whoever sees
the step it is about. ``bin/test simulate --seed S`` replays a failure exactly.
"""
