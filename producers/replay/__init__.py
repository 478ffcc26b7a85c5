"""Dead letters: looked at, let go on, or given up, by a person."""
