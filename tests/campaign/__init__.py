"""The fault campaign: one relay under load, a burst of faults, rest, and an account of every acknowledged instance."""
