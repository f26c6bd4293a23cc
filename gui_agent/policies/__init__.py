"""Models behind the `Policy` protocol; only modules named `transformers_*` import torch."""
