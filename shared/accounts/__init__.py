"""Accounts: where every instance is that was received; for `reconcile`, the daily report and tombstones."""
