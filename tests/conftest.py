"""What holds for all tests: a property is true or not however long a busy machine takes over an example."""

from hypothesis import settings

settings.register_profile("bireme", deadline=None)
settings.load_profile("bireme")
