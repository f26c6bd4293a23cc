"""The page of the demo: one document, one style sheet and one script, read as they lie here."""
