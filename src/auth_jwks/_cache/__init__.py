"""The current keys and their renewal. It knows the provider and the stores, no web framework."""
