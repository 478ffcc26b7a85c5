"""Router: a closed part in, its deliveries out."""
