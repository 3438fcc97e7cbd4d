"""The graph of EfficientNet-Lite0 around its weights.

Tan and Le, "EfficientNet", 2019; the Lite variants have no squeeze-and-excitation, and ReLU6 instead of swish
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from math import prod, sqrt

from models.onnx import Graph, Weights

#: Blocks of each stage, sides of the kernel, stride of the first block.
_STAGES = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
#: What is added to a variance (`batch_norm_epsilon` there).
_EPSILON = 1e-3
#: Sides of the picture, and features in front of the last layer.
SIDE, FEATURES = 224, 1280
_OPSET = 13
_CLASSES = 1000


def efficientnet(weights: Mapping[str, Weights]) -> bytes:
    """The ONNX file: from `picture` (RGB, -1 to 1) to `features`, the embedding, and `scores`, which add up to one.

    Raises `KeyError` if weights are missing.
    """
    graph = Graph(
        opset=_OPSET,
        inputs={"picture": ("pictures", 3, SIDE, SIDE)},
        outputs={"features": ("pictures", FEATURES), "scores": ("pictures", _CLASSES)},
    )
    graph.weights.update({"lowest": Weights((), array("f", [0.0])), "highest": Weights((), array("f", [6.0]))})
    made = _Layers(graph, weights)
    now, number = made.convolved("picture", "_conv_stem", "_bn0", kernel=3, stride=2), 0
    for blocks, kernel, stride in _STAGES:
        for block in range(blocks):
            now = made.block(now, f"_blocks.{number}", kernel=kernel, stride=1 if block else stride)
            number += 1
    now = made.convolved(now, "_conv_head", "_bn1", kernel=1)
    now = graph.add("GlobalAveragePool", [now], "pooled")
    graph.add("Flatten", [now], "features", axis=1)
    graph.weights.update({name: weights[name] for name in ("_fc.weight", "_fc.bias")})
    now = graph.add("Gemm", ["features", "_fc.weight", "_fc.bias"], "raised", transB=1)
    graph.add("Softmax", [now], "scores", axis=1)
    return graph.to_bytes()


class _Layers:
    """Adds layers to a graph, with the batch normalisation folded into the weights of each convolution."""

    def __init__(self, graph: Graph, weights: Mapping[str, Weights]) -> None:
        self._graph, self._weights = graph, weights

    def block(self, now: str, name: str, *, kernel: int, stride: int) -> str:
        """An inverted residual block: wider, filtered channel by channel, narrower again."""
        before = now
        if f"{name}._expand_conv.weight" in self._weights:
            now = self.convolved(now, f"{name}._expand_conv", f"{name}._bn0", kernel=1)
        now = self.convolved(now, f"{name}._depthwise_conv", f"{name}._bn1", kernel=kernel, stride=stride)
        narrow = f"{name}._project_conv"
        now = self.convolved(now, narrow, f"{name}._bn2", kernel=1, is_bounded=False)
        expanded = self._weights.get(f"{name}._expand_conv.weight")
        if stride == 1 and expanded and expanded.shape[1] == self._weights[f"{narrow}.weight"].shape[0]:
            now = self._graph.add("Add", [now, before], f"{name}.sum")
        return now

    def convolved(
        self, now: str, name: str, norm: str, *, kernel: int, stride: int = 1, is_bounded: bool = True
    ) -> str:
        weights, bias = self._folded(name, norm)
        self._graph.weights.update({f"{name}.weight": weights, f"{name}.bias": bias})
        now = self._graph.add(
            "Conv",
            [now, f"{name}.weight", f"{name}.bias"],
            name,
            auto_pad="SAME_UPPER",
            group=weights.shape[0] if "_depthwise_" in name else 1,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
        )
        return self._graph.add("Clip", [now, "lowest", "highest"], f"{name}.bounded") if is_bounded else now

    def _folded(self, name: str, norm: str) -> tuple[Weights, Weights]:
        weights = self._weights[f"{name}.weight"]
        scale, shift, mean, variance = (
            self._weights[f"{norm}.{each}"].values for each in ("weight", "bias", "running_mean", "running_var")
        )
        factors = [each / sqrt(spread + _EPSILON) for each, spread in zip(scale, variance, strict=True)]
        size = prod(weights.shape[1:])
        scaled = array("f")
        for number, factor in enumerate(factors):
            scaled.extend(value * factor for value in weights.values[number * size : (number + 1) * size])
        bias = [add - factor * middle for add, factor, middle in zip(shift, factors, mean, strict=True)]
        return Weights(weights.shape, scaled), Weights((len(bias),), array("f", bias))
