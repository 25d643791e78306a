"""Who is compared: each loads the workload, then trains an epoch whenever it is asked to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Workload


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


class Backprop(Contender):
    """This project, without its progress bar and without the evaluation after an epoch."""

    backend = "numpy"

    def __init__(self, work: Workload) -> None:
        from backprop_cli.solvers.compute import blas_threads
        from backprop_cli.solvers.loop import Trainer

        self._work = work
        configs = [work.config(self.backend, rate) for rate in work.learning_rates()]
        self._trainer = Trainer(work.dataset(), configs)
        self._trainer.engine.W[...] = 0
        self._trainer._steps.prepare(lambda: None)
        self._limit = blas_threads(work.threads)
        self._limit.__enter__()

    def epoch(self, number: int) -> float:
        from backprop_cli.solvers.loop import Observer

        trainer, rates = self._trainer, self._trainer._epoch_rates(number)
        start, trainer.step = time.perf_counter(), 0
        trainer._run_epoch(number, rates, start, Observer())
        return time.perf_counter() - start

    def weights(self) -> NDArray[Any]:
        engine = self._trainer.engine
        return np.concatenate([engine.W, engine.b[:, :, None]], axis=2).reshape(
            -1, self._work.d + 1
        )


class BackpropCompiled(Backprop):
    backend = "compiled"


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
    "backprop, compiled": BackpropCompiled,
    "backprop, NumPy": Backprop,
    "PyTorch, tuned": TunedTorch,
    "PyTorch, by hand": TorchByHand,
    "PyTorch, DataLoader": TorchLoader,
    "scikit-learn SGDClassifier": ScikitSGD,
}
