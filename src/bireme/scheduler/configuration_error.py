"""What is raised of a scheduler's configuration."""


class ConfigurationError(ValueError):
    """A configuration that can't be used; the text says where and why."""
