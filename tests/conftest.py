"""Settings of all tests."""

from hypothesis import settings

# How long an example takes says nothing on a busy machine. Whether the suite passes depends on the code alone, so that
# a change is blamed for what it breaks and nothing else; `pytest --hypothesis-profile=explore` draws new examples.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("fixed")
