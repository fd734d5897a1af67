"""Measure the operators of a language model on a GPU, as `scin llm --profile` reads them.

    python bench/profile_llm.py --model llama2-7b --parallel 8 --output profile.csv

Needs PyTorch with CUDA, which this project does not install. Matrix products run in FP16, and
in FP8 (e4m3, FP16 result) where the GPU has it; attention is PyTorch's fused one. Times are
medians of CUDA events, caches warm; the shapes are those of one of `--parallel` accelerators.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.llm.accelerator import COLUMNS
from models.llm.inference import Workload
from models.llm.operators import PRECISIONS, Operator, head, layer
from models.llm.shape import ModelShape, load_shape

HEAD_WIDTH = 128
REPEATS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="preset or .toml; comma-separated")
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--precision", default="fp16,fp8")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("profile_llm: needs PyTorch: pip install torch", file=sys.stderr)
        return 3
    if not torch.cuda.is_available():
        print("profile_llm: PyTorch sees no GPU", file=sys.stderr)
        return 3
    lines = [f"# {torch.cuda.get_device_name()}, PyTorch {torch.__version__}", ",".join(COLUMNS)]
    seen: set[tuple[str, str, str]] = set()
    for name in options.model.split(","):
        model = load_shape(name)
        for operator in operators(model, options.parallel, options.precision.split(",")):
            key = operator.name, operator.shape, operator.precision
            if key in seen:
                continue
            seen.add(key)
            seconds = median_seconds(torch, work(torch, operator))
            lines.append(",".join((*key, f"{seconds:.9f}")))
            print(lines[-1], flush=True)
    options.output.write_text("\n".join(lines) + "\n")
    return 0


def operators(model: ModelShape, parallel: int, precisions: list[str]) -> list[Operator]:
    found = []
    for precision in precisions:
        if precision not in PRECISIONS:
            raise SystemExit(f"precision {precision!r}: must be among {', '.join(PRECISIONS)}")
        for step in (Workload().prefill, Workload().decode):
            found += [
                *layer(model, step, parallel, precision),
                head(model, step, parallel, precision),
            ]
    return found


def work(torch, operator: Operator) -> Callable[[], object]:
    """One launch of the operator."""
    sizes = [int(size) for size in operator.shape.split("x")]
    half = {"device": "cuda", "dtype": torch.float16}
    if operator.name == "attention":
        tokens, context, width = sizes
        heads = max(1, width // HEAD_WIDTH)
        prefill = tokens == context
        sequences, length = (1, tokens) if prefill else (tokens, 1)
        query = torch.randn(sequences, heads, length, HEAD_WIDTH, **half)
        keys = torch.randn(sequences, heads, context, HEAD_WIDTH, **half)
        attend = torch.nn.functional.scaled_dot_product_attention
        return lambda: attend(query, keys, keys, is_causal=prefill)
    if operator.name == "norm":
        x, residual = (torch.randn(*sizes, **half) for _ in range(2))
        weight = torch.ones(sizes[1], **half)

        @torch.compile
        def fused(x, residual):
            total = x + residual
            return total, torch.nn.functional.rms_norm(total, (sizes[1],), weight)

        return lambda: fused(x, residual)
    if operator.name == "silu":
        gate, up = (torch.randn(*sizes, **half) for _ in range(2))
        fused = torch.compile(lambda gate, up: torch.nn.functional.silu(gate) * up)
        return lambda: fused(gate, up)
    rows, inner, columns = sizes
    left = torch.randn(rows, inner, **half)
    right = torch.randn(columns, inner, **half).t()
    if operator.precision == "fp16":
        return lambda: left @ right
    one = torch.ones((), device="cuda")
    left, right = (matrix.to(torch.float8_e4m3fn) for matrix in (left, right))
    return lambda: torch._scaled_mm(left, right, one, one, out_dtype=torch.float16)


def median_seconds(torch, launch: Callable[[], object]) -> float:
    for _ in range(5):
        launch()
    times = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        launch()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
