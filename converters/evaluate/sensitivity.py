"""Which tensors cost most when they are stored in 4 bits: each group alone, the rest untouched."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from converters.errors import OptionError
from converters.evaluate.llm import Conditions, run_measure
from converters.evaluate.nlu import dataset_name
from converters.evaluate.pages import table
from converters.evaluate.pictures import bars
from converters.gguf import GgufHeader, Tensor, read_header
from converters.progress import Report, silent
from converters.quantize import quantize
from converters.texts import check_text
from edge_runtime.bundles.blobs import sha256_of

_BLOCK: Final = re.compile(r"blk\.(\d+)\.([a-z_]+)\.weight")
_BANDS: Final = 4
_TYPE: Final = "Q4_0"


@dataclass(frozen=True, slots=True)
class Cost:
    """What storing one group in 4 bits costs, all else being as it was.

    ``share`` is the group's part of all weights, ``kl_per_share`` the divergence a hundredth of
    the model's weights costs here.
    """

    group: str
    tensors: int
    share: float
    mean_kl: float
    top1_agreement: float

    @property
    def kl_per_share(self) -> float:
        return self.mean_kl / (100 * self.share)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Costs of the kinds of tensors and of the bands of layers, dearest first."""

    model: str
    model_sha256: str
    dataset: str
    tokens: int
    kinds: tuple[Cost, ...]
    bands: tuple[Cost, ...]

    def as_json(self) -> dict[str, Any]:
        rows = {"kinds": self.kinds, "bands": self.bands}
        return {
            **{name: value for name, value in asdict(self).items() if name not in rows},
            "type": _TYPE,
            **{
                name: [{**asdict(cost), "kl_per_share": cost.kl_per_share} for cost in costs]
                for name, costs in rows.items()
            },
        }

    def page(self) -> str:
        lines = [f"# What 4 bits cost in {self.model}", ""]
        lines += [f"- data: {self.dataset}, {self.tokens} tokens"]
        lines += [f"- measured: sha256 {self.model_sha256}", ""]
        for title, costs in (("Kinds of tensors", self.kinds), ("Bands of layers", self.bands)):
            head = (title, "tensors", "share of weights", "mean KL", "top-1", "KL per 1 %")
            lines += [*table(head, [_cells(cost) for cost in costs]), ""]
        dearest = max(self.kinds, key=lambda cost: cost.kl_per_share)
        lines.append(
            f"Dearest for its size: {dearest.group}. Each group was stored as {_TYPE} alone, the "
            "rest left as it was; mean KL in nats a token."
        )
        return "\n".join(lines) + "\n"

    def figures(self) -> list[str]:
        label = "mean KL divergence, nats a token"
        return [
            bars({c.group: c.mean_kl for c in costs}, title=title, label=label)
            for title, costs in (("Kinds of tensors", self.kinds), ("Layers", self.bands))
        ]


def sensitivity(
    model: Path,
    text: Path,
    *,
    max_tokens: int = 2048,
    threads: int = 2,
    progress: Report = silent,
) -> Sensitivity:
    """Store each group of matrices of ``model`` in 4 bits, and measure how far that takes it.

    Args:
        model: an unquantised GGUF file.
        text: UTF-8 text of the domain.
        max_tokens: of the text.
        threads: of llama.cpp.
        progress: told how far it is.

    Raises:
        ModelFileError: the model is no sound GGUF file.
        OptionError: the model is quantised already.
        DatasetError: the text is missing, empty, too long or not UTF-8.
        ConversionError: llama.cpp failed.
        StorageError: there is no room for a second model.
    """
    header = read_header(model)
    if header.quantised:
        raise OptionError(
            f"{model} is quantised already: what is lost cannot be told from what was lost.",
            hint="Sweep the F16 or F32 file.",
        )
    check_text(text)
    conditions = Conditions(text, max_tokens, threads)
    kinds, bands = _groups(header)
    with tempfile.TemporaryDirectory() as work:
        reference, trial = Path(work) / "reference.npz", Path(work) / "trial.gguf"
        whole = run_measure(
            model, conditions, progress, step=f"reading {model.name}", save=reference
        )

        def cost(group: str, members: Sequence[Tensor]) -> Cost:
            keep = _keep(header, members)
            quantize(model, trial, _TYPE, keep=keep, threads=threads)
            found = run_measure(
                trial,
                conditions,
                progress,
                step=f"storing {group} in 4 bits",
                reference=reference,
            )
            share = sum(tensor.weights for tensor in members) / header.weights
            return Cost(group, len(members), share, found["mean_kl"], found["top1_agreement"])

        costs = {
            name: tuple(
                sorted(
                    (cost(group, members) for group, members in groups.items()),
                    key=lambda item: -item.mean_kl,
                )
            )
            for name, groups in (("kinds", kinds), ("bands", bands))
        }
    return Sensitivity(
        model.name,
        sha256_of(model),
        dataset_name(text),
        int(whole["tokens"]),
        costs["kinds"],
        costs["bands"],
    )


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        cost.group,
        str(cost.tensors),
        f"{cost.share:.1%}",
        f"{cost.mean_kl:.4g}",
        f"{cost.top1_agreement:.1%}",
        f"{cost.kl_per_share:.3g}",
    )


def _groups(header: GgufHeader) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
    """Matrices by kind, and those of the layers by quarter."""
    matrices = [tensor for tensor in header.tensors if tensor.matrix]
    layers = 1 + max(
        (int(found[1]) for tensor in matrices if (found := _BLOCK.fullmatch(tensor.name))),
        default=-1,
    )
    kinds: dict[str, list[Tensor]] = {}
    bands: dict[str, list[Tensor]] = {}
    edges = [layers * band // _BANDS for band in range(_BANDS + 1)]
    for tensor in matrices:
        found = _BLOCK.fullmatch(tensor.name)
        kinds.setdefault(found[2] if found else tensor.name.removesuffix(".weight"), []).append(
            tensor
        )
        if found:
            band = next(i for i in range(_BANDS) if int(found[1]) < edges[i + 1])
            name = f"layers {edges[band]} to {edges[band + 1] - 1}"
            bands.setdefault(name, []).append(tensor)
    return kinds, bands


def _keep(header: GgufHeader, members: Sequence[Tensor]) -> Mapping[str, str]:
    """Every matrix by name: the members in 4 bits whatever llama.cpp would choose, others as is."""
    chosen = {tensor.name for tensor in members}
    return {
        tensor.name: _TYPE if tensor.name in chosen else tensor.type
        for tensor in header.tensors
        if tensor.matrix
    }
