"""`make bench`: how fast the relay is, as ratios to the peers that are installed, taken side by side in one run."""
