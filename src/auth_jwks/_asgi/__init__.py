"""What an ASGI request carries and asks for. It knows no framework, and nothing of tokens."""
