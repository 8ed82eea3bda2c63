"""Ours ↔ the insurer's, pure: no session, no clock, no I/O."""
