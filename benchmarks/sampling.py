"""Rows per CPU second of our sampler beside plain `generate`, on one thread.

Both sides start from prompts with encoded screenshots and end with token ids; both suppress the same
tokens; log-probabilities are asked of both. `generate` gets left-padded batches from the stock
processor, and `num_return_sequences` where samples share a prompt. Feature caches start empty.

    OMP_NUM_THREADS=1 python benchmarks/sampling.py --groups 16
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import torch
from rollout_workload import Workload, build, environment, fastest_cpu_s, workloads

from gui_agent.policies.transformers_model import VisionLanguageModel
from gui_agent.policies.transformers_policy import TransformersPolicy
from gui_agent.policy import ImagePart, TextPart
from trainers.tiny_model import Family

FAMILIES: tuple[Family, ...] = ("qwen2_5_vl", "qwen3_vl")


def generate(model: VisionLanguageModel, workload: Workload, suppressed: list[int]) -> None:
    conversations = [
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": part.screenshot.image()}
                    if isinstance(part, ImagePart)
                    else {"type": "text", "text": part.text}
                    for part in request.prompt[0].parts
                    if isinstance(part, ImagePart | TextPart)
                ],
            }
        ]
        for request in workload.requests
    ]
    inputs = model.processor.apply_chat_template(
        conversations,
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    first = workload.requests[0]
    with torch.no_grad():
        output = model.network.generate(
            **inputs,
            max_new_tokens=first.params.max_new_tokens,
            do_sample=True,
            top_k=0,
            num_return_sequences=first.n,
            suppress_tokens=suppressed,
            return_dict_in_generate=True,
            output_scores=True,
        )
        model.network.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)


def ours(model: VisionLanguageModel, workload: Workload) -> None:
    model.forget_features()
    policy = TransformersPolicy(model)
    policy.sample_batch(workload.requests)
    policy.close()


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
        suppressed = torch.nonzero(~model.allowed_V).flatten().tolist()
        for workload in workloads(arguments.groups, max_new_tokens=arguments.max_new_tokens):
            sides = {
                "generate": partial(generate, model, workload, suppressed),
                "ours": partial(ours, model, workload),
            }
            seconds = fastest_cpu_s(sides, arguments.repeats)
            rows_per_s = {name: round(workload.num_rows / value, 1) for name, value in seconds.items()}
            print(
                json.dumps(
                    {
                        "family": family,
                        "workload": workload.name,
                        "rows": workload.num_rows,
                        "rows_per_cpu_s": rows_per_s,
                        "ratio": round(seconds["generate"] / seconds["ours"], 2),
                    }
                )
            )


if __name__ == "__main__":
    main()
