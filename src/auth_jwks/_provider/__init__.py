"""What the provider publishes, fetched over HTTP. It knows no cache, no store and no verifier."""
