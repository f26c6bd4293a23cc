"""The GPU smoke test runs its whole code on a CPU, small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from trainers.gpu_smoke import main, random_network


def test_the_smoke_test_runs_small_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    (update,) = report["updates"]
    assert report["weights_that_learn"] < report["weights"]
    assert update["grad_norm"] > 0
    assert update["images_dropped"] == 0
    assert update["sampling/sampling_logp_difference/max"] < 1e-4


def test_the_full_size_is_that_of_the_3b_checkpoint(tmp_path: Path) -> None:
    network = random_network(tmp_path, tiny=False, device="meta", dtype=torch.bfloat16)
    assert sum(weights.numel() for weights in network.parameters()) == 3_754_622_976


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_the_smoke_test_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "0 CUDA devices" in capsys.readouterr().err
