"""Sending: the only part that talks to the insurer."""
