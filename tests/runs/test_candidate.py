"""The place of a model among those of a sweep."""

from backprop_cli.runs.candidate import Candidate


def candidate(index, figure=None, loss=None, settings=None, diverged=None):
    standing = None if figure is None else (figure, -loss)
    return Candidate(
        index=index, settings=settings or {"l2": index}, best_epoch=1, validation_accuracy=figure,
        validation_loss=loss, validation_measures={}, diverged=diverged, standing=standing,
        history=[],
    )  # fmt: skip


def order(*candidates):
    return [one.index for one in sorted(candidates, key=Candidate.rank)]


def test_of_equal_figures_the_lower_loss_wins_then_the_first():
    assert order(
        candidate(0, 0.8, 0.1), candidate(1, 0.9, 0.63), candidate(2, 0.9, 0.05),
        candidate(3, 0.9, 0.05), candidate(4, diverged="ran away"),
        candidate(5, 1.0, 0.0, diverged="ran away"),
    ) == [2, 3, 1, 0, 5, 4]  # fmt: skip


def test_losses_of_two_kinds_are_not_compared():
    kinds = ("softmax_cross_entropy", "multiclass_svm")
    models = [
        candidate(k, 0.9, loss, {"loss": kind})
        for k, (loss, kind) in enumerate(zip((0.5, 0.1), kinds, strict=True))
    ]
    assert order(*models) == [0, 1]
    assert order(candidate(0, 0.8, 0.1, {"loss": kinds[0]}), models[1]) == [1, 0]


def test_the_figure_that_was_selected_by_is_in_the_table():
    one = Candidate(
        index=0, settings={"l2": 0}, best_epoch=2, validation_accuracy=0.9, validation_loss=0.3,
        validation_measures={"macro_f1": 0.7}, diverged=None, standing=(0.7, -0.3), history=[],
    )  # fmt: skip
    assert one.to_mapping() == {
        "settings": {"l2": 0}, "best_epoch": 2, "validation_accuracy": 0.9,
        "validation_loss": 0.3, "diverged": None, "validation_macro_f1": 0.7,
    }  # fmt: skip
