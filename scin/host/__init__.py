"""Software that speaks registers, and the simulated system it speaks to."""
