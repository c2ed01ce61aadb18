"""The loss of each part of the training as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.files import atomic_writer


def draw_losses(losses: Mapping[str, Path], target: Path) -> None:
    """Draw each loss curve of ``losses``, titled by its key, that exists.

    Args:
        losses: JSON Lines of ``{"step", "loss"}`` by title.
        target: the PNG to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = {title: path for title, path in losses.items() if path.exists()}
    figure, axes = plt.subplots(1, len(found), figsize=(5 * len(found), 3.5), squeeze=False)
    for axis, (title, path) in zip(axes[0], found.items(), strict=True):
        points = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        axis.plot([point["step"] for point in points], [point["loss"] for point in points])
        axis.set(title=title, xlabel="step", ylabel="loss")
        axis.grid(visible=True, alpha=0.3)
    figure.tight_layout()
    # Without the date that matplotlib would note, equal curves make equal files.
    with atomic_writer(target) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
    plt.close(figure)
