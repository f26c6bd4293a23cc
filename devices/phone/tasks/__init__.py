"""Tasks on the virtual phone: goals, checks and the expert."""
