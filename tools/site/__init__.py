"""The documentation as a site: python -m tools.site lays out, builds and checks it."""
