"""Parses tokens and key sets: bytes in, claims and keys out. Pure; it knows no other room."""
