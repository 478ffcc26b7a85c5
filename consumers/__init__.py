"""What does the work: router, anonymizer, sender, janitor; each a process of its own."""
