"""What tokens and key sets say: bytes in, claims and keys out. Pure; it knows no other room."""
