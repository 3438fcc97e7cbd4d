"""What is written is ONNX: it computes what it says, and large weights take half the room."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import protobuf
from models.efficientnet import FEATURES, SIDE, efficientnet
from models.onnx import Graph, Weights, rewritten

values = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=300))


@given(st.lists(st.tuples(st.integers(1, 2**28), values), max_size=20))
def test_fields_come_back_as_they_were_written(told: list[tuple[int, int | bytes]]) -> None:
    assert list(protobuf.fields(protobuf.message(*told))) == told


@given(st.binary(max_size=60))
def test_whatever_is_no_message_is_refused_or_read_to_its_end(data: bytes) -> None:
    try:
        found = list(protobuf.fields(data))
    except ValueError:
        return
    assert len(found) <= len(data)


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x08\x80", b"\x0f", b"\x09\x01", b"\x08" + b"\xff" * 11])
def test_a_cut_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut|wire type|too long"):
        list(protobuf.fields(data))


def run(file: bytes, **inputs: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, inputs)
    return outputs


def graph() -> Graph:
    made = Graph(opset=13, inputs={"x": ("n", 3)}, outputs={"y": ("n", 2)})
    made.weights["w"] = Weights((3, 2), array("f", [1, 2, 3, 4, 5, 0.1]))
    made.weights["b"] = Weights((2,), array("f", [0.1, -1]))
    made.add("Gemm", ["x", "w", "b"], "y", alpha=2.0)
    return made


def test_a_graph_computes_what_it_says_with_large_weights_in_half_precision() -> None:
    x = np.array([[1, 2, 3], [0, 0, 1]], np.float32)
    (y,) = run(graph().to_bytes(), x=x)
    halved = np.array([[1, 2], [3, 4], [5, 0.1]], np.float16).astype(np.float32)
    assert y == pytest.approx(2 * (x @ halved) + np.array([0.1, -1], np.float32))


def test_a_rewritten_model_computes_the_same_for_other_sizes() -> None:
    fixed = Graph(opset=13, inputs={"x": (1, 1, 4, 4)}, outputs={"y": (1, 1, 4, 4)})
    fixed.weights["w"] = Weights((1, 1, 3, 3), array("f", range(9)))
    fixed.weights["unused"] = Weights((10000,), array("f", [1.5]) * 10000)
    fixed.add("Conv", ["x", "w"], "y", auto_pad="SAME_UPPER", kernel_shape=[3, 3])
    free = rewritten(fixed.to_bytes(), inputs={"x": (1, 1, "h", "w")}, outputs={"y": (1, 1, "h", "w")})
    assert len(free) < 1000
    x = np.random.default_rng(1).random((1, 1, 4, 4), np.float32)
    assert run(free, x=x)[0] == pytest.approx(run(fixed.to_bytes(), x=x)[0])
    assert run(free, x=np.ones((1, 1, 9, 7), np.float32))[0].shape == (1, 1, 9, 7)


@pytest.mark.parametrize("file", [b"", b"no model", protobuf.message((7, b"")), protobuf.message((8, b""), (7, b""))])
def test_what_is_no_model_is_refused(file: bytes) -> None:
    with pytest.raises((ValueError, StopIteration)):
        rewritten(file, inputs={}, outputs={})


def _normal(weights: dict[str, Weights], name: str, count: int) -> None:
    weights[f"{name}.weight"] = Weights((count,), array("f", [2.0] * count))
    weights[f"{name}.bias"] = Weights((count,), array("f", [0.5] * count))
    weights[f"{name}.running_mean"] = Weights((count,), array("f", [1.0] * count))
    weights[f"{name}.running_var"] = Weights((count,), array("f", [4.0 - 1e-3] * count))


def _weights() -> dict[str, Weights]:
    """Weights of the right shapes: each convolution but the last takes the mean, so that all values are known."""
    made: dict[str, Weights] = {}

    def conv(name: str, norm: str, *shape: int) -> None:
        made[f"{name}.weight"] = Weights(shape, array("f", [1 / math.prod(shape[1:])]) * math.prod(shape))
        _normal(made, norm, shape[0])

    conv("_conv_stem", "_bn0", 32, 3, 3, 3)
    stages = (
        (1, 3, 1, 16),
        (2, 3, 6, 24),
        (2, 5, 6, 40),
        (3, 3, 6, 80),
        (3, 5, 6, 112),
        (4, 5, 6, 192),
        (1, 3, 6, 320),
    )
    wide, number = 32, 0
    for blocks, kernel, factor, narrow in stages:
        for _ in range(blocks):
            name, inner = f"_blocks.{number}", wide * factor
            if factor > 1:
                conv(f"{name}._expand_conv", f"{name}._bn0", inner, wide, 1, 1)
            conv(f"{name}._depthwise_conv", f"{name}._bn1", inner, 1, kernel, kernel)
            conv(f"{name}._project_conv", f"{name}._bn2", narrow, inner, 1, 1)
            wide, number = narrow, number + 1
    conv("_conv_head", "_bn1", FEATURES, wide, 1, 1)
    made["_fc.weight"] = Weights((1000, FEATURES), array("f", [0.0]) * (1000 * FEATURES))
    made["_fc.bias"] = Weights((1000,), array("f", [0.0] * 999 + [math.log(999)]))
    return made


def test_the_graph_of_efficientnet_has_every_layer_and_folds_the_normalisation() -> None:
    file = efficientnet(_weights())
    features, scores = run(file, picture=np.ones((1, 3, SIDE, SIDE), np.float32))
    assert features.shape == (1, FEATURES)
    assert scores[0, -1] == pytest.approx(0.5, abs=1e-4)
    assert scores.sum() == pytest.approx(1, abs=1e-4)
    # Every layer makes (x - 1) * 2 / 2 + 0.5 of its mean x: half less. All are bounded to 0 from below.
    assert (features >= 0).all()
    first = run(file, picture=np.full((1, 3, SIDE, SIDE), -1, np.float32))[0]
    assert first.shape == features.shape


def test_missing_weights_are_named() -> None:
    weights = _weights()
    del weights["_blocks.7._project_conv.weight"]
    with pytest.raises(KeyError, match=r"_blocks\.7\._project_conv\.weight"):
        efficientnet(weights)
