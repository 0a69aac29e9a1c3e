"""Settings of all tests: hypothesis tries the same examples on every run, so that a red run can be repeated."""

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
# For a long hunt by hand: pytest --hypothesis-profile=hunt
settings.register_profile(
    "hunt", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("repeatable")
