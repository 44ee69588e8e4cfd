"""The ledger's curve: appends, proofs and audits from a thousand entries to ten million."""
