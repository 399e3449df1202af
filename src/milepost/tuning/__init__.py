"""Extended models: the verb ``extend`` with its proofs of whole models."""
