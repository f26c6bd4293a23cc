"""Forward and backward of `token_logprobs` with and without shared prefixes, on one thread.

Prints CPU seconds per pass over all rows, the ratio, and the largest difference of a log-probability,
which must be rounding.

    OMP_NUM_THREADS=1 python benchmarks/prefix_sharing.py --groups 16
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import torch
from rollout_workload import Workload, build, environment, fastest_cpu_s, workloads

from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import TransformersPolicy
from gui_agent.policy import ImagePart
from trainers.forward import PlainTokenRow, token_logprobs
from trainers.tiny_model import Family

FAMILIES: tuple[Family, ...] = ("qwen2_5_vl", "qwen3_vl")
MICRO_BATCH_ROWS = 64


def sampled_rows(model: VisionLanguageModel, workload: Workload) -> list[PlainTokenRow]:
    policy = TransformersPolicy(model)
    answers = policy.sample_batch(workload.requests)
    policy.close()
    return [
        PlainTokenRow(
            prompt_token_ids=completion.prompt_token_ids,
            image_grids=completion.image_grids,
            image_sha256s=tuple(
                part.screenshot.sha256 for part in request.prompt[0].parts if isinstance(part, ImagePart)
            ),
            token_ids=completion.token_ids,
        )
        for request, answer in zip(workload.requests, answers, strict=True)
        for completion in answer
    ]


def learn(model: VisionLanguageModel, workload: Workload, rows: list[PlainTokenRow], *, share: bool) -> None:
    for start in range(0, len(rows), MICRO_BATCH_ROWS):
        chunk = rows[start : start + MICRO_BATCH_ROWS]
        result = token_logprobs(model, chunk, workload.screenshots, share_prefixes=share)
        result.logprobs_BT.sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=16, help="groups of 8 rows")
    parser.add_argument("--max-new-tokens", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(environment()))
    for family in FAMILIES:
        model = build(family)
        for workload in workloads(arguments.groups, max_new_tokens=arguments.max_new_tokens):
            rows = sampled_rows(model, workload)
            with torch.no_grad():
                alone, shared = (
                    token_logprobs(model, rows, workload.screenshots, share_prefixes=share).logprobs_BT
                    for share in (False, True)
                )
            sides = {
                name: partial(learn, model, workload, rows, share=share)
                for name, share in (("alone", False), ("shared", True))
            }
            seconds = fastest_cpu_s(sides, arguments.repeats)
            print(
                json.dumps(
                    {
                        "family": family,
                        "workload": workload.name,
                        "rows": len(rows),
                        "prompt_tokens": len(rows[0].prompt_token_ids),
                        "cpu_s": {name: round(value, 3) for name, value in seconds.items()},
                        "ratio": round(seconds["alone"] / seconds["shared"], 2),
                        "max_difference": float((alone - shared).abs().max()),
                    }
                )
            )


if __name__ == "__main__":
    main()
