"""The GPU smoke test runs its whole code on a CPU, small."""

from __future__ import annotations

import json

import pytest

from trainers.gpu_smoke import main


def test_the_smoke_test_runs_small_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    (update,) = report["updates"]
    assert report["weights_that_learn"] < report["weights"]
    assert update["grad_norm"] > 0
    assert update["images_dropped"] == 0
    assert update["sampling/sampling_logp_difference/max"] < 1e-4
