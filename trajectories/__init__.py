"""Episodes: the one loop that produces them, the store that keeps them, replay and viewer."""
