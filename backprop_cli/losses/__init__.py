"""The losses, one record each; everything else asks the record.

To add a loss: a module here with its record, a line below, and, for the compiled kernels, a
function in `kernels`.
"""

from backprop_cli.losses.loss import Array, Loss, Vector
from backprop_cli.losses.multiclass_svm import MULTICLASS_SVM
from backprop_cli.losses.softmax_cross_entropy import SOFTMAX_CROSS_ENTROPY

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (SOFTMAX_CROSS_ENTROPY, MULTICLASS_SVM)}
"""The losses by the names that configs and model files have for them."""

__all__ = ["LOSSES", "MULTICLASS_SVM", "SOFTMAX_CROSS_ENTROPY", "Array", "Loss", "Vector"]
