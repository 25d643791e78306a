"""Who is compared: each loads the workload, then trains an epoch whenever it is asked to."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli import prepare
from backprop_cli.losses import LOSSES
from backprop_cli.settings import ModelSettings, Settings
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.methods import MiniBatchDescent, Rule
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.schedules import Constant
from benchmarks.workload import SEED, Workload

_MAX_EPOCHS = 1_000_000  # more than are ever asked for


class Contender:
    """Starts from W = 0 and b = 0; makes the same steps as the others."""

    def __init__(self, work: Workload) -> None:
        raise NotImplementedError

    def epoch(self, number: int) -> float:
        """Train one epoch; return the seconds it took."""
        raise NotImplementedError

    def weights(self) -> NDArray[Any] | None:
        """Return W and b as the last column, M C x (d + 1); None if the steps are others."""
        raise NotImplementedError


class _EpochEnded(Exception):  # noqa: N818 - not an error: it ends what is timed
    """The last step of an epoch is made."""


class _Steps(Observer):
    """Ends training where an epoch's steps end, before the evaluation."""

    def __init__(self, descent: Descent) -> None:
        self._descent = descent

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        if self._descent.step == self._descent.plan.steps_per_epoch:
            raise _EpochEnded


class Backprop(Contender):
    """This project, without its progress bar and without the evaluation after an epoch.

    What is timed is what a run does: it draws the order, and makes the steps in as many calls.
    """

    engine = "numpy"

    def __init__(self, work: Workload) -> None:
        self._work = work
        model = ModelSettings(
            LOSSES[work.loss], l2=0.0, label_smoothing=0.0, seed=SEED, initial_std=0.0
        )
        settings = Settings(
            models=(model,) * work.n_models,
            dtype="float32",
            single_output=False,
            standardize="per_feature",
            class_weights=None,
            engine=self.engine,
            threads=work.threads,
        )
        solver = MiniBatchDescent(
            rules=tuple(
                Rule(rate, Constant(), momentum=0.0, nesterov=False)
                for rate in work.learning_rates()
            ),
            epochs=_MAX_EPOCHS,
            batch_size=work.batch_size,
            seed=SEED,
            horizontal_flips=False,
            select_by="accuracy",
            keep="last",
            patience=None,
        )
        self._descent = prepare(work.dataset(), settings, solver)

    def epoch(self, number: int) -> float:
        descent = self._descent
        descent.epochs_finished, descent.step, descent.seconds = number, 0, 0.0
        with contextlib.suppress(_EpochEnded):
            descent.run(_Steps(descent))
        return descent.seconds

    def weights(self) -> NDArray[Any]:
        state = self._descent.state
        return np.concatenate([state.W, state.b[:, :, None]], axis=2).reshape(-1, self._work.d + 1)


class BackpropCompiled(Backprop):
    engine = "compiled"


class BackpropAuto(Backprop):
    """With the engine that a run takes of itself."""

    engine = "auto"


class TunedTorch(Contender):
    """Float32 tensors in memory, indexed by a permutation; nn.Linear and SGD."""

    def __init__(self, work: Workload) -> None:
        import torch

        torch.set_num_threads(work.threads)
        x, y = work.standardized()
        self._work, self._torch = work, torch
        self._x, self._y = torch.from_numpy(x), torch.from_numpy(y)
        self._model = torch.nn.Linear(work.d, work.n_classes)
        with torch.no_grad():
            for parameter in self._model.parameters():
                parameter.zero_()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=work.learning_rate)
        self._loss = {
            "softmax_cross_entropy": torch.nn.CrossEntropyLoss(),
            "multiclass_svm": self._svm,
        }[work.loss]

    def _svm(self, scores: Any, labels: Any) -> Any:
        margins = (scores - scores.gather(1, labels[:, None]) + 1).clamp(min=0)
        return (margins.sum(dim=1) - 1).mean()  # the true class's own margin is 1

    def epoch(self, number: int) -> float:
        order, size = self._torch.from_numpy(self._work.order(number)), self._work.batch_size
        start = time.perf_counter()
        for first in range(0, self._work.n, size):
            batch = order[first : first + size]
            self._step(self._x[batch], self._y[batch])
        return time.perf_counter() - start

    def _step(self, x: Any, y: Any) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._loss(self._model(x), y).backward()
        self._optimizer.step()

    def weights(self) -> NDArray[Any]:
        W, b = (parameter.detach().numpy() for parameter in self._model.parameters())
        return np.column_stack([W, b])


class TorchByHand(Contender):
    """PyTorch without nn, optim and autograd: the same equations as ours, the gather into a buffer.

    M models are stacked in one product, as ours are.
    """

    def __init__(self, work: Workload) -> None:
        import torch

        torch.set_num_threads(work.threads)
        x, y = work.standardized()
        self._work, self._torch = work, torch
        self._x, self._y = torch.from_numpy(x), torch.from_numpy(y)
        K = work.n_models * work.n_classes
        self._W, self._b = torch.zeros(K, work.d), torch.zeros(K)
        rates = torch.tensor(work.learning_rates()).repeat_interleave(work.n_classes)
        self._rates = rates[:, None].to(torch.float32)
        self._batch = torch.empty(work.batch_size, work.d)

    def epoch(self, number: int) -> float:
        order, size = self._torch.from_numpy(self._work.order(number)), self._work.batch_size
        start = time.perf_counter()
        for first in range(0, self._work.n, size):
            rows = order[first : first + size]
            x = self._torch.index_select(self._x, 0, rows, out=self._batch[: len(rows)])
            self._step(x, self._y[rows])
        return time.perf_counter() - start

    def _step(self, x: Any, y: Any) -> None:
        S = self._torch.addmm(self._b, x, self._W.t()).view(-1, self._work.n_classes)
        labels = y.repeat_interleave(self._work.n_models)[:, None]
        if self._work.loss == "softmax_cross_entropy":
            G = self._torch.softmax(S, 1)
            G.scatter_add_(1, labels, self._torch.full_like(G[:, :1], -1.0))
        else:
            G = (S - S.gather(1, labels) + 1 > 0).to(S.dtype)
            G.scatter_add_(1, labels, -G.sum(1, keepdim=True))
        G = G.view(len(x), -1).t() * (self._rates / len(x))
        self._W.addmm_(G, x, alpha=-1)
        self._b -= G.sum(1)

    def weights(self) -> NDArray[Any]:
        return np.column_stack([self._W.numpy(), self._b.numpy()])


class Jax(Contender):
    """JAX on the CPU: an epoch is one compiled scan over its mini-batches.

    Images stay bytes in memory; a mini-batch is gathered and standardized inside the scan. M models
    are stacked in one product, as ours are.
    """

    def __init__(self, work: Workload) -> None:
        os.environ["NPROC"] = os.environ["PJRT_NPROC"] = str(work.threads)  # read by the import
        import jax

        self._work, self._jax = work, jax
        dataset, found = work.dataset(), work.standardization()
        train, single = dataset.train, np.float32
        examples = (
            train.own_features(), train.own_labels(),
            found.mean.astype(single), (1 / found.std).astype(single),
        )  # fmt: skip
        self._examples = jax.device_put(examples)
        K = work.n_models * work.n_classes
        self._parameters = jax.device_put((np.zeros((K, work.d), single), np.zeros(K, single)))
        rates = np.repeat(work.learning_rates(), work.n_classes).astype(single)
        self._rates = rates[:, None], rates
        self._descend = jax.jit(self._scan)

    def epoch(self, number: int) -> float:
        order, size = self._work.order(number), self._work.batch_size
        whole = len(order) // size * size  # the last mini-batch may be short
        start = time.perf_counter()
        for batches in (order[:whole].reshape(-1, size), order[None, whole:]):
            if batches.size:
                self._parameters = self._descend(self._parameters, self._examples, batches)
        self._jax.block_until_ready(self._parameters)
        return time.perf_counter() - start

    def _scan(self, parameters: Any, examples: Any, batches: Any) -> Any:
        features, labels, mean, scale = examples

        def step(parameters: Any, rows: Any) -> Any:
            x = (features[rows].astype(np.float32) - mean) * scale
            gradients = self._jax.grad(self._loss)(parameters, x, labels[rows])
            moved = (
                p - eta * g for p, eta, g in zip(parameters, self._rates, gradients, strict=True)
            )
            return tuple(moved), None

        return self._jax.lax.scan(step, parameters, batches)[0]

    def _loss(self, parameters: Any, x: Any, labels: Any) -> Any:
        """Return the sum over the models of their mean losses."""
        W, b = parameters
        C, nn = self._work.n_classes, self._jax.nn
        S = (x @ W.T + b).reshape(len(x), -1, C)
        Y = nn.one_hot(labels, C)[:, None]
        if self._work.loss == "softmax_cross_entropy":
            return -(Y * nn.log_softmax(S)).sum() / len(x)
        margins = nn.relu(S - (Y * S).sum(-1, keepdims=True) + 1)
        return ((1 - Y) * margins).sum() / len(x)

    def weights(self) -> NDArray[Any]:
        return np.column_stack(self._parameters)


class TorchLoader(TunedTorch):
    """The loop of the tutorials: a DataLoader over a TensorDataset, shuffled by its own order."""

    def epoch(self, number: int) -> float:
        data = self._torch.utils.data
        dataset = data.TensorDataset(self._x, self._y)
        loader = data.DataLoader(dataset, batch_size=self._work.batch_size, shuffle=True)
        start = time.perf_counter()
        for x, y in loader:
            self._step(x, y)
        return time.perf_counter() - start

    def weights(self) -> None:
        return None


class ScikitSGD(Contender):
    """SGDClassifier: one classifier against the rest each, and a step an example."""

    def __init__(self, work: Workload) -> None:
        from sklearn.linear_model import SGDClassifier

        self._x, self._y = work.standardized()
        loss = "hinge" if work.loss == "multiclass_svm" else "log_loss"
        self._model = SGDClassifier(
            loss=loss, learning_rate="constant", eta0=work.learning_rate, n_jobs=work.threads
        )
        self._classes = np.arange(work.n_classes)

    def epoch(self, number: int) -> float:
        start = time.perf_counter()
        self._model.partial_fit(self._x, self._y, classes=self._classes)
        return time.perf_counter() - start

    def weights(self) -> None:
        return None


CONTENDERS: dict[str, Callable[[Workload], Contender]] = {
    "backprop": BackpropAuto,
    "backprop, compiled": BackpropCompiled,
    "backprop, NumPy": Backprop,
    "PyTorch, tuned": TunedTorch,
    "PyTorch, by hand": TorchByHand,
    "JAX": Jax,
    "PyTorch, DataLoader": TorchLoader,
    "scikit-learn SGDClassifier": ScikitSGD,
}
