"""Keeps: objects in S3, the ledger's sequencer, keys, the embedded store, the catalogue."""
