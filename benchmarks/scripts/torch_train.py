"""CIFAR-10, softmax, in PyTorch, as a careful user writes it: ``torch_train.py DIR EPOCHS EVERY``.

EVERY is 1 to evaluate training and validation examples after every epoch, or 0
for the test examples at the end alone.
"""

import pathlib
import pickle
import sys

import numpy as np
import torch

folder, epochs, every = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])


def load(names):
    images, labels = [], []
    for name in names:
        with (folder / name).open("rb") as stream:
            # As its users load it: to import our reader would be timed with this script.
            batch = pickle.load(stream, encoding="bytes")  # noqa: S301 - the published files
        images.append(batch[b"data"])
        labels += batch[b"labels"]
    return np.concatenate(images), torch.tensor(labels)


torch.set_num_threads(int(sys.argv[4]))
images, labels = load([f"data_batch_{k}" for k in range(1, 6)])
test_images, test_labels = load(["test_batch"])
x = torch.from_numpy(images).float()
test_x = torch.from_numpy(test_images).float()
mean, std = x[:45000].mean(0), x[:45000].std(0)
for part in (x, test_x):
    part.sub_(mean).div_(std)
validation_x, validation_y = x[45000:], labels[45000:]
x, labels = x[:45000], labels[:45000]
model = torch.nn.Linear(3072, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
loss = torch.nn.CrossEntropyLoss()


@torch.no_grad()
def accuracy(x, y):
    scores = model(x)
    return loss(scores, y).item(), (scores.argmax(1) == y).float().mean().item()


for _ in range(epochs):
    order = torch.randperm(len(x))
    for first in range(0, len(x), 100):
        batch = order[first : first + 100]
        optimizer.zero_grad(set_to_none=True)
        loss(model(x[batch]), labels[batch]).backward()
        optimizer.step()
    if every:
        accuracy(x, labels), accuracy(validation_x, validation_y)
print(f"test {100 * accuracy(test_x, test_labels)[1]:.2f} %")
