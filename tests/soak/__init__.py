"""Conductors that are killed, stopped and continued at random for a long time; and what must hold at the end."""
