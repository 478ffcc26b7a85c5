"""Sender: a delivery in, its instances at the destination. One process owns a destination at a time."""
