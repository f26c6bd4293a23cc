"""What every local web page of this project stands on: who may come in, and where it listens."""
