"""The release, which the build reads here too: frozen programs have no metadata."""

__all__ = ["__version__"]

__version__ = "0.5.0.dev0"
