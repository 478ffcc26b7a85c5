"""The ledger: the queryable record of what happened, in SQL; a witness, never a point of failure."""
