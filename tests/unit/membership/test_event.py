"""Events compare by value and cannot be changed by whoever hears them first."""

import pytest

from zmesh.membership.event import Subscribe, Synced, Unsubscribe


def test_events_are_values() -> None:
    assert Subscribe("10.42.0.1:7401") == Subscribe("10.42.0.1:7401")
    assert Subscribe("10.42.0.1:7401") != Unsubscribe("10.42.0.1:7401")
    with pytest.raises(AttributeError):
        Synced(alone=True).alone = False  # type: ignore[misc]
