"""Ingress: the C-STORE SCP. What it answers with success is on stable storage, and stays until it was delivered."""
