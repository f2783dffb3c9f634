"""The keys at hand and how they are renewed. It knows the provider and the stores, no framework."""
