"""The served viewer: pages over stores of any size, drawn on this computer and only read."""
