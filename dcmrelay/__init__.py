"""The command line and the all-in-one runner; the product itself is in producers, consumers and shared."""
