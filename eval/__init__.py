"""Benchmarks: splits, metrics with intervals, comparisons. Write from eval.x import y, never import eval."""
