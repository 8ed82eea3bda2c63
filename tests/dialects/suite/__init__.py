"""SQLAlchemy's own dialect compliance suite over the stand-in: see test_compliance.py, which starts it."""
