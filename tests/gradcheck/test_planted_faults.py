"""A fault is planted in a copy of the package, and gradcheck finds it in the engine that has it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

import backprop_cli

PACKAGE = pathlib.Path(backprop_cli.__file__).parent
CONFIG = """\
data: {format: synthetic, size: 8, examples: 400, classes: 4, validation: 50, test: 50}
l2: 0.01
training: {batch_size: 280, momentum: 0}  # the kernels take this in two pieces
"""
COMPILED, NUMPY, NUMPY_64 = "compiled, float32", "numpy, float32", "numpy, float64"
ALL_NUMPY = {NUMPY, NUMPY_64}
NOT_OPTIMIZED = {"NUMBA_OPT": "0"}

L, L_STEP, L_EVAL = ("L", "L"), ("L", "L (step)"), ("L", "L (eval)")
DECISION, J = ("L", "decision"), ("J", "J")
DW, DB, J_DW, J_DB = ("L", "W"), ("L", "b"), ("J", "W"), ("J", "b")
STEP_W, STEP_B, V_W, V_B = (("step", name) for name in ("W", "b", "V_W", "V_b"))
VALUES, GRADIENTS, STEP = {L, L_STEP, L_EVAL}, {DW, DB, J_DW, J_DB}, {STEP_W, STEP_B}
ALL = VALUES | {DECISION} | GRADIENTS | STEP
"""What is compared: a cost and a parameter."""

SVM = "loss=multiclass_svm"
MOMENTUM = "training.momentum=0.9"
NESTEROV = "training.nesterov=true"
FLIPS = "training.horizontal_flips=true"
WEIGHTS = "training.class_weights=[1, 2, 3, 0.5]"
SMOOTHING = "label_smoothing=0.1"
BY_BLAS = "by the BLAS"  # in a name: the kernels leave products to it, whatever vectors there are,
MANY_CLASSES = "data.classes=70"  # where there are many classes
SINGLE = ("data.classes=2", "model.outputs=1")


@dataclass(frozen=True)
class Plant:
    """A replacement in one file, settings that bring it out, and where it must be found."""

    file: str
    old: str
    new: str
    found: frozenset
    settings: tuple = ()
    engines: frozenset = field(default=frozenset({COMPILED}))


def kernels(file, old, new, found, *settings):
    return Plant(file, old, new, frozenset(found), settings)


def by_numpy(file, old, new, found, *settings, engines=ALL_NUMPY):
    return Plant(file, old, new, frozenset(found), settings, frozenset(engines))


SOFTMAX_END = """\
    s[label] -= np.float32(1) - smoothing
"""
SCALE_G = """\
    for k in range(C):
        s[k] *= np.float32(1.001)
"""
SVM_GRADIENT = """\
            violations += np.float32(1)
            s[k] = 1
"""
LOSSES, DESCENT = "losses/kernels.py", "engine/kernels/descent.py"
MINIBATCH, ENGINE = "engine/kernels/minibatch.py", "engine/kernels/engine.py"
EVALUATION, PRODUCTS = "engine/kernels/evaluation.py", "engine/kernels/products.py"

IN_KERNELS = {
    "softmax gradient": kernels(LOSSES, SOFTMAX_END, SOFTMAX_END + SCALE_G, GRADIENTS | STEP),
    "softmax loss": kernels(
        LOSSES, "return float(math.log(total))", "return 1.001 * float(math.log(total))", VALUES
    ),
    "SVM gradient": kernels(
        LOSSES, "s[k] = 1\n", "s[k] = 1.001\n", GRADIENTS | STEP, SVM
    ),
    "SVM gradient without the margin test": kernels(
        LOSSES, SVM_GRADIENT, "        if k != label:\n" + SVM_GRADIENT, GRADIENTS | STEP, SVM
    ),
    "SVM loss": kernels(
        LOSSES, "loss += margin\n", "loss += margin + np.float32(0.001)\n", VALUES, SVM
    ),
    "loss in training": kernels(
        MINIBATCH, "total[m] += np.float64(loss)", "total[m] += 1.001 * np.float64(loss)",
        {L, L_STEP},
    ),
    "loss in evaluation": kernels(
        EVALUATION, "= loss_gradient(", "= 1.001 * loss_gradient(", {L_EVAL}
    ),
    "bias in training": kernels(
        MINIBATCH, "s[k] += models.b[k]", "s[k] += 0", {L, L_STEP} | GRADIENTS | STEP
    ),
    "bias in evaluation": kernels(
        EVALUATION, "S[i, k] = models.b[k]", "S[i, k] = 0", {L_EVAL, DECISION}
    ),
    "decision": kernels(EVALUATION, "s[k] > s[decision]", "s[k] < s[decision]", {DECISION}),
    "divisor of a step": kernels(
        MINIBATCH, "np.float32(end - start), True", "np.float32(end - start + 1), True",
        {L_STEP, *STEP},
    ),
    "second piece": kernels(
        MINIBATCH, "models, rates, piece > 0, moving and final,\n",
        "models, rates, False, moving and final,\n", {DW, J_DW, STEP_W},
    ),
    "l2": kernels(ENGINE, "two_l2=2 * state.l2", "two_l2=state.l2", {STEP_W}),
    "momentum": kernels(
        DESCENT, "= rho * velocity[j]", "= rho * rho * velocity[j]", {*STEP, V_W, V_B}, MOMENTUM
    ),
    "Nesterov": kernels(
        DESCENT, "np.float32(1 if ahead else 0)", "np.float32(0)", STEP, MOMENTUM, NESTEROV
    ),
    "velocity after a step": kernels(
        ENGINE, "(models.velocity_W.reshape(V.shape), self._std,",
        "(models.velocity_W.reshape(V.shape), 1.001 * self._std,", {V_W}, MOMENTUM,
    ),
    "mean": kernels(
        ENGINE, ": len(mean)] = mean", ": len(mean)] = 1.01 * mean", {DW, J_DW, STEP_W}
    ),
    "scale": kernels(
        ENGINE, "(1.0 / task.standardization.std)", "(1.001 / task.standardization.std)",
        {DW, J_DW, STEP_W},
    ),
    "scale of a step": kernels(
        DESCENT, "rate * (g[j] * scale[j] * scale[j]", "rate * (g[j] * scale[j]", {STEP_W}
    ),
    "scale after a step": kernels(
        ENGINE, "moved *= self._std", "moved *= 1.001 * self._std", {STEP_W}
    ),
    "division of the bias's gradient": kernels(
        DESCENT, "+= sums[other, k]", "+= sums[other, k] * np.float32(280 if moves else 1)",
        {STEP_B},
    ),
    "gradient of the bias": kernels(
        DESCENT, "+= sums[other, k]", "+= np.float32(1.001) * sums[other, k]",
        {DB, J_DB, STEP_B},
    ),
    "mean, by the BLAS": kernels(
        PRODUCTS, "(target[j] - mean[j])", "(target[j] - np.float32(1.01) * mean[j])",
        {DW, J_DW, STEP_W}, MANY_CLASSES,
    ),
    "scores by the BLAS": kernels(
        PRODUCTS, "x[:n, : last - first], S", "x[:n, : last - first - 1], S",
        {L, L_STEP} | GRADIENTS | STEP, MANY_CLASSES,
    ),
    "gradient by the BLAS": kernels(
        PRODUCTS, "G[:n], x", "G[: n - 1], x", {DW, J_DW, STEP_W}, MANY_CLASSES
    ),
    "step by the BLAS": kernels(
        DESCENT, "-rates[group * R // C], G", "np.float32(-1.001) * rates[group * R // C], G",
        {STEP_W}, MANY_CLASSES, "l2=0",
    ),
    "mirroring": kernels(
        PRODUCTS, "line[length - pixel - j + k]",
        "line[j + k]", {DW, J_DW, STEP_W, L, L_STEP}, FLIPS,
    ),
    "class weights": kernels(
        MINIBATCH, "factor = weight / divisor", "factor = 1 / divisor", GRADIENTS | STEP, WEIGHTS
    ),
    "label smoothing": kernels(
        LOSSES, "smoothing / np.float32(C),", "smoothing / np.float32(C - 1),",
        GRADIENTS | STEP | VALUES, SMOOTHING,
    ),
    "one coordinate": kernels(
        DESCENT, "                if more:\n                    for j",
        "                if k == 2 and low <= 17 and 17 < high:\n"
        "                    g[17 - low] *= np.float32(1.01)\n"
        "                if more:\n                    for j",
        {DW, J_DW, STEP_W},
    ),
}  # fmt: skip

NUMPY_FILE, FOLDED = "engine/numpy_engine.py", "engine/standardizing.py"
SOFTMAX, SVM_FILE = "losses/softmax_cross_entropy.py", "losses/multiclass_svm.py"
UPDATES, TARGETS = "solvers/updates.py", "engine/targets.py"
OBJECTIVE, DECISIONS = "objective.py", "engine/decisions.py"

IN_NUMPY = {
    "softmax gradient": by_numpy(
        SOFTMAX, "G = np.subtract(P, Y, out=P)",
        "G = P.dtype.type(1.001) * np.subtract(P, Y, out=P)",
        GRADIENTS | STEP,
    ),
    "softmax loss": by_numpy(
        SOFTMAX, "losses = np.log(total[:, 0])", "losses = 1.001 * np.log(total[:, 0])", VALUES
    ),
    "SVM gradient": by_numpy(
        SVM_FILE, "G -= Y * G.sum(axis=1, keepdims=True)",
        "G -= G.dtype.type(1.001) * Y * G.sum(axis=1, keepdims=True)", GRADIENTS | STEP, SVM,
    ),
    "SVM gradient without the margin test": by_numpy(
        SVM_FILE, "G = np.greater(margins, 0.0, out=margins)",
        "G = np.subtract(np.ones_like(margins), Y, out=margins)", GRADIENTS | STEP, SVM,
    ),
    "SVM loss": by_numpy(
        SVM_FILE, "losses = margins.sum(axis=1)", "losses = 1.001 * margins.sum(axis=1)",
        VALUES, SVM,
    ),
    "loss in training": by_numpy(
        NUMPY_FILE, "return Sums(losses.sum", "return Sums(1.001 * losses.sum", {L, L_STEP}
    ),
    "loss in evaluation": by_numpy(
        NUMPY_FILE, "return Outcomes(losses,", "return Outcomes(1.001 * losses,", {L_EVAL}
    ),
    "bias": by_numpy(
        NUMPY_FILE, "np.add(XtWt.T.reshape(S.shape), b[:, :, None], out=S)",
        "np.add(XtWt.T.reshape(S.shape), 0, out=S)", ALL,
    ),
    "folded bias": by_numpy(
        FOLDED, "return folded, b - folded @ self._mean_left",
        "return folded, -(folded @ self._mean_left)", ALL, engines={NUMPY},
    ),
    "decision": by_numpy(
        DECISIONS, "np.argmax(scores, axis=-2)", "np.argmin(scores, axis=-2)", {DECISION}
    ),
    "decision of a single output": by_numpy(
        DECISIONS, "(scores[..., 0, :] > 0)", "(scores[..., 0, :] < 0)", {DECISION}, *SINGLE
    ),
    "folded mean in parameters": by_numpy(
        FOLDED, "return folded, b - folded @ self._mean_left",
        "return folded, b - 1.1 * (folded @ self._mean_left)", GRADIENTS | STEP, engines={NUMPY},
    ),
    "folded scale in parameters": by_numpy(
        FOLDED, "np.multiply(W, self._scale,", "np.multiply(W, 1.01 * self._scale,",
        {DW, J_DW}, engines={NUMPY},
    ),
    "folded mean in gradient": by_numpy(
        FOLDED, "dW -= np.multiply(db[:, :, None], self._mean_left, out=shift)",
        "dW -= np.multiply(db[:, :, None], 1.01 * self._mean_left, out=shift)",
        {DW, J_DW, STEP_W}, engines={NUMPY},
    ),
    "folded scale in gradient": by_numpy(
        FOLDED, "dW *= self._scale", "dW *= 1.001 * self._scale",
        {DW, J_DW, STEP_W}, engines={NUMPY},
    ),
    "mean": by_numpy(FOLDED, "x -= mean", "x -= 1.001 * mean", {DW, *VALUES}, engines={NUMPY_64}),
    "scale": by_numpy(
        FOLDED, "x *= scale", "x *= 1.001 * scale", {DW, J_DW, STEP_W, *VALUES},
        engines={NUMPY_64},
    ),
    "one coordinate": by_numpy(
        NUMPY_FILE, "dW = self._standardizing.gradient(dW, db)\n",
        "dW = self._standardizing.gradient(dW, db)\n        dW[..., 2, 17] *= 1.01\n",
        {DW, J_DW, STEP_W},
    ),
    "gradient of the bias": by_numpy(
        NUMPY_FILE, "return Sums(losses.sum(axis=1, dtype=np.float64), dW, db,",
        "return Sums(losses.sum(axis=1, dtype=np.float64), dW, 1.001 * db,", {DB, J_DB, STEP_B},
    ),
    "division of the bias's gradient": by_numpy(
        OBJECTIVE, "        db /= sums.n\n", "", {DB, J_DB, STEP_B}
    ),
    "penalty": by_numpy(OBJECTIVE, "self.l2 * squares", "3 * self.l2 * squares", {J}),
    "l2": by_numpy(OBJECTIVE, "self._two_l2 = 2.0 *", "self._two_l2 = 1.0 *", {J_DW, STEP_W}),
    "momentum": by_numpy(
        UPDATES, "velocity *= rho", "velocity *= rho * rho", {*STEP, V_W, V_B}, MOMENTUM
    ),
    "Nesterov": by_numpy(
        UPDATES, "gradient *= ahead\n", "gradient *= 0\n", STEP, MOMENTUM, NESTEROV
    ),
    "mirroring": by_numpy(
        FOLDED, "self._image.mirror(raw, block.mirrored)",
        "self._image.mirror(raw, ~block.mirrored)", {DW, J_DW, STEP_W, L, L_STEP}, FLIPS,
    ),
    "class weights in the gradient": by_numpy(
        NUMPY_FILE, "            G *= v\n", "", GRADIENTS | STEP, WEIGHTS
    ),
    "class weights in the loss": by_numpy(
        NUMPY_FILE, "            losses *= v\n", "", {L, L_STEP}, WEIGHTS
    ),
    "balanced class weights": by_numpy(
        "solvers/start.py", "len(labels) / (np.count_nonzero(counts) *",
        "len(labels) / (np.count_nonzero(counts) * 1.001 *", GRADIENTS | VALUES,
        "training.class_weights=balanced",
    ),
    "label smoothing": by_numpy(
        TARGETS, "Y[...] = (a / C)[:, None]", "Y[...] = (a / (C - 1))[:, None]",
        GRADIENTS | STEP | VALUES, SMOOTHING,
    ),
    "single output": by_numpy(
        NUMPY_FILE, "G[:, :1]) * G.dtype.type(0.5)", "G[:, :1]) * G.dtype.type(0.5005)",
        GRADIENTS | STEP, *SINGLE,
    ),
}  # fmt: skip

PLANTS = {
    **{f"kernels: {name}": plant for name, plant in IN_KERNELS.items()},
    **{f"NumPy: {name}": plant for name, plant in IN_NUMPY.items()},
}
UNEDITED = [
    "kernels: unedited", "kernels: unedited, not optimized", "kernels: unedited, by the BLAS",
    "NumPy: unedited",
]  # fmt: skip


def copy_of_package(folder, plant=None):
    """Copy the package into ``folder``, with a fault if there is one to plant."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if plant is not None:
        edit(folder, plant.file, plant.old, plant.new)


def edit(folder, file, old, new):
    """Replace what stands once in a file of the copy."""
    path = folder / PACKAGE.name / file
    source = path.read_text("utf-8")
    assert source.count(old) == 1, f"{file} has changed: {old!r}"
    path.write_text(source.replace(old, new), "utf-8")


def gradcheck(folder, backend, settings, environment):
    """Run the copy's gradcheck in a process of its own."""
    (folder / "config.yaml").write_text(CONFIG)
    arguments = ["--config", "config.yaml", "--samples", "20", "--json"]
    for setting in (f"compute.backend={backend}", *settings):
        arguments += ["--set", setting]
    return subprocess.run(
        [sys.executable, "-m", PACKAGE.name, "gradcheck", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def outcome(folder, name):
    """Check the copy of one name: with its plant, or unedited."""
    folder.mkdir()
    backend = "compiled" if name.startswith("kernels") else "numpy"
    plant = PLANTS.get(name)
    copy_of_package(folder, plant)
    if BY_BLAS in name:
        edit(folder, "engine/kernels/shapes.py", "_BLAS_LANES = 8", "_BLAS_LANES = 16")
    if plant is None:
        settings = (MANY_CLASSES,) if BY_BLAS in name else ()
        optimized = "not optimized" not in name
        return gradcheck(folder, backend, settings, {} if optimized else NOT_OPTIMIZED)
    # Compiling takes most of the time, and a fault is the same in code that is not optimized.
    return gradcheck(folder, backend, plant.settings, NOT_OPTIMIZED)


@pytest.mark.parametrize("name", UNEDITED)
def test_the_unedited_copy_passes(tmp_path, name):
    if name.startswith("kernels"):
        pytest.importorskip("numba")
    process = outcome(tmp_path / "copy", name)
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stderr == ""
    found = json.loads(process.stdout)
    assert found["agrees"]
    assert found["engine"] == (COMPILED if name.startswith("kernels") else NUMPY)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(tmp_path, name):
    if name.startswith("kernels"):
        pytest.importorskip("numba")
    process = outcome(tmp_path / "copy", name)
    assert process.returncode == 1, process.stdout + process.stderr
    assert process.stderr == ""
    found = json.loads(process.stdout)
    assert not found["agrees"]
    wrong = [row for row in found["rows"] if not row["agrees"]]
    assert {row["engine"] for row in wrong} == PLANTS[name].engines
    for engine in PLANTS[name].engines:
        marked = {(row["cost"], row["parameter"]) for row in wrong if row["engine"] == engine}
        assert marked >= PLANTS[name].found
