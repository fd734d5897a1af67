"""Time to first token, time per output token, and what of them is communication."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec.config import Config
from models.baselines.parameters import Parameters
from models.llm.accelerator import Profile, Roofline
from models.llm.operators import ACTIVATION_BYTES, Step, head, layer
from models.llm.shape import ModelShape
from models.prediction import Prediction, predict

ALLREDUCES_PER_LAYER = 2


@dataclass(frozen=True)
class Workload:
    """``batch`` sequences: prefill of ``prompt`` tokens each, decode one token each with
    ``context`` tokens cached."""

    prefill_batch: int = 1
    prompt: int = 2048
    decode_batch: int = 64
    context: int = 2048

    @property
    def prefill(self) -> Step:
        tokens = self.prefill_batch * self.prompt
        return Step(tokens, self.prefill_batch, self.prompt, prefill=True)

    @property
    def decode(self) -> Step:
        return Step(self.decode_batch, self.decode_batch, self.context, prefill=False)


@dataclass(frozen=True)
class StepTime:
    """Seconds of all layers. ``allreduce``: one of those that ``communication`` adds up."""

    compute: float
    communication: float
    allreduce: Prediction

    @property
    def total(self) -> float:
        return self.compute + self.communication

    @property
    def share(self) -> float:
        return self.communication / self.total


def step_time(
    config: Config,
    model: ModelShape,
    step: Step,
    precision: str,
    algorithm: str,
    accelerator: Roofline | Profile,
    parameters: Parameters,
) -> StepTime:
    """One pass over all layers, tensor-parallel over all accelerators of ``config``."""
    parallel = config.system.endpoints
    operators = layer(model, step, parallel, precision)
    each = sum(accelerator.seconds(operator) for operator in operators)
    last = accelerator.seconds(head(model, step, parallel, precision))
    message = ACTIVATION_BYTES * step.tokens * model.hidden
    allreduce = predict(config, algorithm, message, parameters)
    return StepTime(
        model.layers * each + last,
        model.layers * ALLREDUCES_PER_LAYER * allreduce.seconds,
        allreduce,
    )
