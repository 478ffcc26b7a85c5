"""What brings work in: the ingress SCP."""
