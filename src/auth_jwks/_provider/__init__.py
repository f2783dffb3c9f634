"""Fetches what the provider publishes, over HTTP. It knows no cache, no store and no verifier."""
