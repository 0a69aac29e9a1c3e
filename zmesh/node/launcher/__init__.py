"""Runners that the node starts itself (``--launch``): supervised, heard, bounded, and gone when the node is."""

from zmesh.node.launcher.launcher import Launcher, ReplicaStatus
from zmesh.node.launcher.supervisor import State

__all__ = ["Launcher", "ReplicaStatus", "State"]
