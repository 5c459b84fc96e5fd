"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("without deadline", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("without deadline")
