"""Worlds: the virtual phone, browsers, Android devices; their tasks, checks and oracles beside them."""
