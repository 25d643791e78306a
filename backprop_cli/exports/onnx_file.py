"""ONNX: a Gemm and a Softmax, from float32 to float32.

In between they are float64. In float32 the sums of a Gemm would differ from ours, and between
machines: on CIFAR-10's 3,072 features by 2.5e-6 in a probability, and by 1.2e-6 if the mean is
subtracted before. `docs/models.md` has what was measured.
"""

from __future__ import annotations

import json
import pathlib

import onnx
from onnx import TensorProto, helper, numpy_helper

from backprop_cli.errors import ConfigError
from backprop_cli.exports.raw import RawClassifier

_OPSET, _IR_VERSION = 13, 8  # which every ONNX Runtime since 2021 reads
_MAX_BYTES = 2_000_000_000  # of a protobuf message


def content(classifier: RawClassifier) -> bytes:
    """Return the file: features, batch x d, to scores and probabilities, batch x C.

    Raises
    ------
    ConfigError
        It would be larger than ONNX files can be.
    """
    n_classes, d = classifier.weights.shape
    weights, bias = classifier.weights, classifier.bias
    if weights.nbytes > _MAX_BYTES:
        raise ConfigError(f"export --to onnx: {weights.nbytes} bytes of weights are too many")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["features"], ["x"], to=TensorProto.DOUBLE),
            helper.make_node("Gemm", ["x", "weights", "bias"], ["s"], transB=1),
            helper.make_node("Softmax", ["s"], ["p"], axis=1),
            helper.make_node("Cast", ["p"], ["probabilities"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["s"], ["scores"], to=TensorProto.FLOAT),
        ],
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", d])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n_classes])
            for name in ("probabilities", "scores")
        ],
        initializer=[
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(bias, "bias"),
        ],
    )
    from backprop_cli import __version__

    model = helper.make_model(
        graph,
        producer_name="backprop",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        doc_string=f"A linear classifier. A row of features is {classifier.features}.",
    )
    shape = classifier.image_shape
    about = {
        "class_names": json.dumps(classifier.class_names),
        "loss": classifier.loss,
        "image_shape": json.dumps(shape),
    }
    helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def usage(classifier: RawClassifier, path: pathlib.Path) -> str:
    """Return the lines of Python that load the file."""
    return "\n".join(
        [
            "import onnxruntime  # pip install onnxruntime",
            f"session = onnxruntime.InferenceSession({str(path)!r})",
            "probabilities, scores = session.run(None, {'features': x})  # x: float32, n x "
            f"{classifier.weights.shape[1]}",
        ]
    )
