"""Many settings in one pass over the data: one stacked model each, the winner by validation."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backprop_cli.communicator import Communicator, Serial
from backprop_cli.config import Config
from backprop_cli.config.convert import settings_of, solver_of, with_memory, with_solver
from backprop_cli.config.schema import Compute, Recorded
from backprop_cli.engine import blas_threads
from backprop_cli.errors import ConfigError, DataError, DivergedError, ModelFileError
from backprop_cli.fitting import prepare
from backprop_cli.losses import Array
from backprop_cli.model import LinearModel
from backprop_cli.runs import checkpoint
from backprop_cli.runs.candidate import Candidate, best_candidate, write_tables
from backprop_cli.runs.checkpoint import Checkpoint, save_checkpoint
from backprop_cli.runs.convergence import Ending, edge_remarks
from backprop_cli.runs.identity import (
    processes_of,
    recorded,
    refuse_differences,
    with_saved_compute,
    with_saved_training,
)
from backprop_cli.runs.result import Result
from backprop_cli.runs.run_directory import (
    RunDirectory,
    load_summary,
    refuse_run,
)
from backprop_cli.runs.session import Session, entered
from backprop_cli.runs.settings import Settings
from backprop_cli.runs.state import SweepState
from backprop_cli.runs.together import check_memory, check_same_data, load_shared
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.optimality import Optimality
from backprop_cli.solvers.selection import Kept
from backprop_cli.solvers.start import initial_parameters
from backprop_cli.solvers.training import Training
from backprop_cli.sources import Dataset, survey


@dataclass(frozen=True)
class _Winner:
    """The best model so far."""

    candidate: Candidate
    W: Array
    b: Array
    certificate: Optimality | None


def first_of_sweep(output: str) -> Config | None:
    """Return the first config of the sweep in a run directory; None if there is none to go on."""
    try:
        saved = Checkpoint(pathlib.Path(output) / checkpoint.FILE_NAME)
        return Config.model_validate(saved.about["sweep"][0])
    except (ModelFileError, OSError, TypeError, ValueError, LookupError):  # told when it goes on
        return None


class Sweep:
    """Trains a model for each config; those of one seed in one pass.

    Parameters
    ----------
    configs
        They differ only in the keys that can be swept, `settings.KEYS`.
    settings
        What each config has of its own, for the table.
    dataset
        Its data; loaded when not given.
    communicator
        The processes that train together; rank 0 writes the run directory.
    tell
        As for `survey`.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        settings: Sequence[Settings],
        dataset: Dataset | None = None,
        communicator: Communicator | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        self._communicator = communicator or Serial()
        self._writes = self._communicator.rank == 0
        self._settings = settings
        first = configs[0]
        self.dataset = dataset or load_shared(first.data, self._communicator)
        self._configs = [with_memory(config, self.dataset.memory) for config in configs]
        if self.dataset.validation is None:
            raise DataError("data.validation: a sweep picks its winner on validation, found none")
        check_memory(self._configs, self.dataset)
        self._survey = survey(self.dataset, first.data.standardize, first.model.dtype, tell=tell)
        check_same_data(self._communicator, self._survey.fingerprint)
        self.path = pathlib.Path(first.output)
        self._passes = self._make_passes()
        self._finished: list[Candidate] = []
        self._winner: _Winner | None = None
        self._pass = 0
        self._training: Training

    def run(self, observer: Observer, *, resume: bool = False) -> tuple[list[Candidate], Result]:
        """Train all, write the winner's run directory, and evaluate it once on test.

        Parameters
        ----------
        observer
            Hears of the progress; may raise KeyboardInterrupt.
        resume
            Go on with the sweep that is in the directory, from its last checkpoint.

        Returns
        -------
        candidates
            Best first; those that diverged last.
        result
            The winner's.

        Raises
        ------
        DivergedError
            Every model diverged.
        Interrupted
            On KeyboardInterrupt; the checkpoint is on disk.
        OutputError, ConfigError, ModelFileError
            As for `Run.train`.
        """
        with entered(self.path, resume=resume) if self._writes else contextlib.nullcontext():
            saved = self._communicator.first(self._saved) if resume else None
            if self._writes and not resume:
                refuse_run(self.path)
            self._begin_pass(saved)
            self._tell_beginning(observer)
            session = Session(self.path, self._save, observer, begun=True)
            while True:
                # Where a pass has no model left, its messages are in the table.
                with contextlib.suppress(DivergedError):
                    session.train(self._training, self._epochs_before)
                self._end_pass()
                if self._pass == len(self._passes):
                    return self._finish(session)
                self._begin_pass(None)

    def _tell_beginning(self, observer: Observer) -> None:
        """Let the observer hear of the whole job."""
        training, steps = self._training, self._training.steps_per_epoch
        made = (self._epochs_before + training.epochs_finished) * steps + training.steps_made
        total = None if training.n_epochs is None else training.n_epochs * len(self._passes)
        observer.begin(total, steps, made)

    @property
    def _epochs_before(self) -> int:
        """How many epochs the passes before had, at most."""
        return self._pass * (self._training.n_epochs or 0)

    def _make_passes(self) -> list[list[int]]:
        """Return the indices of the configs of each seed.

        Models with the same loss stand together, so that the loss is computed for all at once.
        """
        seeds = dict.fromkeys(config.training.seed for config in self._configs)
        passes = []
        for seed in seeds:
            indices = [k for k, c in enumerate(self._configs) if c.training.seed == seed]
            passes.append(sorted(indices, key=lambda k: self._configs[k].loss))
        return passes

    def _begin_pass(self, saved: Checkpoint | None) -> None:
        """Prepare the pass that is next, or goes on; its configs become complete."""
        before: list[Config] = []
        state = None
        if saved is not None:
            state = saved.checked(SweepState)
            before, self._pass = state.sweep, state.pass_
        indices = self._passes[self._pass]
        same = all(
            own.recorded is None or processes_of(own) == self._communicator.size for own in before
        )
        for index, config in enumerate(before):  # what `auto` meant, it goes on to mean
            compute = config.compute
            if config.recorded is None:  # its pass has not begun
                threads = before[indices[0]].compute.threads
                compute = compute.model_copy(update={"threads": threads})
            self._configs[index] = with_saved_compute(self._configs[index], compute, threads=same)
        own = [self._configs[k] for k in indices]
        self._training = prepare(
            self.dataset, settings_of(own), solver_of(own), self._communicator,
            self._survey.standardization,
        )  # fmt: skip
        compute = Compute(backend=self._training.engine_name, threads=self._training.threads)
        update = {
            "compute": compute,
            "recorded": recorded(self._survey.fingerprint, compute, self._communicator.size),
        }
        for m, k in enumerate(indices):
            self._configs[k] = with_solver(
                self._configs[k].model_copy(update=update), self._training.solver, m
            )
        if saved is not None and state is not None:
            self._restore(saved, state)

    def _end_pass(self) -> None:
        """Take note of what the models of a pass have become."""
        for m, index in enumerate(self._passes[self._pass]):
            candidate = Candidate.of(index, self._settings[index], self._training, m)
            self._finished.append(candidate)
            kept = self._training.selections[m].kept
            best = self._winner
            if kept is None or candidate.diverged:
                continue
            if best is None or candidate.rank() < best.candidate.rank():
                self._winner = _Winner(candidate, kept.W, kept.b, self._training.certificate(m))
        self._pass += 1

    def _finish(self, session: Session) -> tuple[list[Candidate], Result]:
        ranked = sorted(self._finished, key=Candidate.rank)
        best = ranked[0] if self._winner is None else self._winner.candidate
        config = self._configs[best.index]
        model = self._model(config)
        directory = RunDirectory(self.path, config, writes=self._writes)
        if self._writes:
            write_tables(self.path, ranked)
        directory.write_config()
        history = [] if self._winner is None else best.history
        directory.save([record.to_mapping() for record in history], model)
        if self._winner is None:
            raise DivergedError(f"every model of the sweep diverged; {best.diverged}")
        ending = self._ending(self._winner, config, session)
        with blas_threads(self._training.threads):
            result = Result.of(self.path, model, self.dataset, ending, self._communicator)
        directory.finish(result.to_mapping())
        return ranked, result

    def _ending(self, winner: _Winner, config: Config, session: Session) -> Ending:
        """Return how the winner's training ended."""
        alone = prepare(
            self.dataset, settings_of([config]), solver_of([config]), self._communicator,
            self._survey.standardization,
        )  # fmt: skip
        alone.selections[0].kept = Kept(winner.candidate.best_epoch or 0, winner.W, winner.b)
        alone.history[0] = winner.candidate.history
        # Found anew, it could be less sharp than the tolerance that training has stopped at.
        optimality = winner.certificate or session.optimality(alone, 0, self._epochs_before)
        keys = winner.candidate.settings
        grids = {key: [setting[key] for setting in self._settings] for key in keys}
        edges = edge_remarks(grids, winner.candidate.settings)
        return Ending.of(alone, 0, optimality, edges)

    def _model(self, config: Config) -> LinearModel:
        """Return the winner; without one, what the best model started from, to be looked at."""
        if self._winner is None:
            weights, bias = initial_parameters(settings_of([config]), self.dataset)
            kept = Kept(0, weights[0], bias[0])
        else:
            kept = Kept(0, self._winner.W, self._winner.b)
        return dataclasses.replace(self._training.model_with(0, kept), loss=config.loss)

    def _save(self) -> None:
        if not self._writes:
            return
        self.dataset.check_unchanged()  # or a checkpoint would be of a mixture
        best = self._winner
        about = {
            "sweep": [config.to_mapping() for config in self._configs],
            "pass": self._pass,
            "winner": None if best is None else best.candidate.index,
            "certificate": vars(best.certificate) if best and best.certificate else None,
            "finished": [candidate.state() for candidate in self._finished],
        }
        more = {} if best is None else {"winner_W": best.W, "winner_b": best.b}
        save_checkpoint(self.path / checkpoint.FILE_NAME, self._training, about, more)

    def _saved(self) -> Checkpoint:
        """Return the checkpoint to go on from."""
        if load_summary(self.path) is not None:
            raise ModelFileError(f"{self.path}: this sweep has finished; backprop eval shows it")
        file = self.path / checkpoint.FILE_NAME
        if not file.exists():
            raise ModelFileError(
                f"{self.path}: no sweep to go on with, found no {file.name}; "
                "without --resume it starts anew"
            )
        saved = Checkpoint(file)
        about = saved.about
        if "sweep" not in about:
            raise ModelFileError(f"{self.path}: not a sweep; backprop train --resume goes on")
        state = saved.checked(SweepState)
        if len(state.sweep) != len(self._configs) or state.pass_ >= len(self._passes):
            raise ConfigError(
                f"{self.path}: the sweep has {len(state.sweep)} settings, now there are "
                f"{len(self._configs)}, or other ones"
            )
        if len({config.output for config in state.sweep}) > 1:
            raise saved.refusal("models of one run directory")
        return saved

    def _restore(self, saved: Checkpoint, state: SweepState) -> None:
        """Take up what was saved.

        Raises
        ------
        ConfigError
            It is of another sweep, of other data or by another version.
        ModelFileError
            It is broken.
        """
        current = self._configs[self._passes[self._pass][0]].recorded
        for index, saved_config in enumerate(state.sweep):
            own = self._configs[index]
            if index not in self._passes[self._pass]:
                record = saved_config.recorded
                if record is not None:
                    record = record.model_copy(update=_shared(current))
                known = {"compute": saved_config.compute, "recorded": record}
                own = with_saved_training(own.model_copy(update=known), saved_config)
                if saved_config.recorded is not None:  # its pass is over
                    self._configs[index] = own
            refuse_differences(saved_config, own, f"{self.path}: model {index}")
        expected = {k for own in self._passes[: self._pass] for k in own}
        if sorted(c.index for c in state.finished) != sorted(expected):
            raise saved.refusal(f"the models of {self._pass} passes as finished")
        try:
            self._finished = [
                Candidate.restored(own, self._settings[own.index], self._training.select_by)
                for own in state.finished
            ]
        except ValueError as error:
            raise saved.refusal(str(error)) from error
        best = best_candidate(self._finished)
        if state.winner != (None if best is None else best.index):
            raise saved.refusal("the best of the finished models as the winner")
        saved.restore(self._training)
        if best is not None:
            like, certificate = self._training.kept(0), state.certificate
            self._winner = _Winner(
                best,
                saved.array("winner_W", like.W),
                saved.array("winner_b", like.b),
                None if certificate is None else Optimality(**certificate.model_dump()),
            )


def _shared(record: Recorded | None) -> dict[str, str]:
    """Return what is recorded of every pass alike, whatever engine it had."""
    keys = ("backprop", "numpy", "data")
    return {} if record is None else {key: getattr(record, key) for key in keys}
