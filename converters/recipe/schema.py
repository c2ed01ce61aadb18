"""The shape of a recipe: its tables, their keys and bounds. ``loading`` reads one.

::

    [recipe]          what is made
    [synth]           labelled lines and conversations out of the pack
    [train]           LoRA tuning of a language model
    [preferences]     DPO on rated replies, after it
    [merge]           the adapter into its base
    [distill]         the merged model (or any teacher) into a smaller one
    [quantize]        the formats wanted
    [evaluate]        each format's quality card
    [student]         the student encoder, its vocabulary cut to the lines
    [train-nlu]       the heads of the student encoder, with their card
    [bundle]          what each device profile gets
    [bars.<card>]     what a card must clear: a quantised format's, or "nlu"

Every table but the first is optional; a stage takes its inputs from the stages before it unless a
key names others.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from converters.encoder.settings import DEFAULTS
from converters.encoder.vocabulary import DEFAULT_FINE, DEFAULT_PIECES
from converters.onnx.quantize import OnnxType
from converters.quantize import QuantType

CALIBRATED: Final = frozenset({"onnx-int8-static", "onnx-int4"})
"""ONNX types whose ranges or rounding are chosen on text."""
NLU: Final = "nlu"
"""The name under which ``[bundle]`` and ``[bars]`` know the trained student encoder."""

Profile = Literal["lite", "standard", "full"]
Format = Literal[QuantType, OnnxType]
Source = Annotated[str, Field(min_length=1, max_length=4096)]
"""A path, from the recipe's folder; for models also the id of a catalogued one."""
_Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,47}$")]
_Version = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$")]
_Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
_Label = Annotated[str, Field(min_length=1, max_length=120)]
_Rate = Annotated[float, Field(gt=0, lt=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Passes = Annotated[int, Field(ge=0, le=1000)]
_Steps = Annotated[int, Field(ge=0, le=1_000_000)]
_Rank = Annotated[int, Field(ge=0, le=1024)]
_Batch = Annotated[int, Field(ge=1, le=1024)]
_Tokens = Annotated[int, Field(ge=16, le=32_768)]
_Module = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]


class Section(BaseModel):
    """Base of the tables: nothing unknown, nothing converted, nothing infinite."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Head(Section):
    """``[recipe]``: the name and version of its bundles; ``pack`` by name or folder."""

    name: _Word
    version: _Version
    pack: Source | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    threads: Annotated[int, Field(ge=1, le=64)] = 2


class Synth(Section):
    """``[synth]``: about ``lines`` labelled lines in ``languages`` (all that are known if none);
    ``paraphraser`` is a language model that rewords ``paraphrases`` of them, and ``exclude`` names
    files whose texts must not occur, such as test sets."""

    lines: Annotated[int, Field(ge=1, le=200_000)] = 16_000
    languages: tuple[_Language, ...] = ()
    paraphrases: Annotated[int, Field(ge=0, le=200_000)] = 0
    paraphraser: Source | None = None
    exclude: tuple[Source, ...] = ()


class Train(Section):
    """``[train]``: LoRA tuning of ``base`` on the conversations of ``data`` (by default those of
    ``[synth]``); ``steps`` stops it before ``epochs`` do."""

    base: Source
    data: Source | None = None
    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    dropout: _Share = 0.1
    modules: tuple[_Module, ...] = ("q_proj", "v_proj")
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    steps: _Steps = 0
    learning_rate: _Rate = 2e-4
    batch: _Batch = 4
    accumulate: _Batch = 1
    max_length: _Tokens = 512


class Preferences(Section):
    """``[preferences]``: DPO of the tuned model on the rated replies of ``data``."""

    data: Source
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    steps: _Steps = 0
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1
    imitation: Annotated[float, Field(ge=0, le=100)] = 1.0
    learning_rate: _Rate = 5e-6
    batch: _Batch = 2
    max_length: _Tokens = 512


class Merge(Section):
    """``[merge]``: with ``adapter_gguf``, the adapter alone is written, too: what a device fetches
    that has the base already."""

    adapter_gguf: bool = False


class Distill(Section):
    """``[distill]``: into ``student``, from ``teacher`` (by default the merged model), on the
    prompts of ``data`` (by default those the model was trained on)."""

    student: Source
    teacher: Source | None = None
    data: Source | None = None
    epochs: _Passes = 2
    on_policy_steps: _Steps = 100
    rank: _Rank = 16
    learning_rate: _Rate = 2e-4
    batch: _Batch = 4
    max_length: _Tokens = 512
    max_reply: Annotated[int, Field(ge=1, le=4096)] = 96
    own_share: _Share = 1.0
    beta: _Share = 0.5
    temperature: Annotated[float, Field(ge=0.01, le=10)] = 0.9


class Quantize(Section):
    """``[quantize]``: ``model`` (by default the distilled or merged one) in each of ``types``.

    ``importance`` weighs the rounding of GGUF types by what the model sees in ``text`` (by default
    the training conversations), which ONNX types are calibrated on, too; ``keep`` holds single
    tensors of GGUF types, named with ``*``, at a wider type.
    """

    types: Annotated[tuple[Format, ...], Field(min_length=1)]
    model: Source | None = None
    importance: bool = False
    text: Source | None = None
    keep: dict[Annotated[str, Field(min_length=1, max_length=200)], str] = {}

    @property
    def reads_text(self) -> bool:
        """Whether one of the types is made by looking at text."""
        return self.importance or not CALIBRATED.isdisjoint(self.types)


class Evaluate(Section):
    """``[evaluate]``: every format against the unquantised model on ``data``: conversations (by
    default ``[synth]``'s, held out) or plain text; ``replies`` is how many questions of the
    conversations it is asked."""

    data: Source | None = None
    max_tokens: Annotated[int, Field(ge=64, le=1_000_000)] = 4096
    replies: Annotated[int, Field(ge=0, le=10_000)] = 30


class Student(Section):
    """``[student]``: the encoder that ``[train-nlu]`` works with, made anew with ``pieces`` of the
    vocabulary, the ``fine_pieces`` most used of them with rows of 4 bits and the others of 2;
    without this table it is the device's own."""

    pieces: Annotated[int, Field(ge=1000, le=250_000)] = DEFAULT_PIECES
    fine_pieces: Annotated[int, Field(ge=1000, le=250_000)] = DEFAULT_FINE


class TrainNlu(Section):
    """``[train-nlu]``: on the folder ``data`` of labelled lines (by default ``[synth]``'s), in
    ``rounds`` of at least ``epochs`` passes."""

    data: Source | None = None
    outside: _Label = "out_of_scope"
    rejection_cost: _Share = DEFAULTS.rejection_cost
    epochs: Annotated[int, Field(ge=1, le=1000)] = DEFAULTS.epochs
    rounds: Annotated[int, Field(ge=1, le=10)] = DEFAULTS.rounds


class Bundle(Section):
    """``[bundle]``: by profile what goes in, quantised formats or "nlu", besides the pack."""

    profiles: Annotated[
        dict[Profile, Annotated[tuple[_Word, ...], Field(min_length=1)]], Field(min_length=1)
    ]
    licence: Annotated[str, Field(min_length=1, max_length=200)] = "not stated"


class Recipe(Section):
    """A whole recipe."""

    recipe: Head
    synth: Synth | None = None
    train: Train | None = None
    preferences: Preferences | None = None
    merge: Merge | None = None
    distill: Distill | None = None
    quantize: Quantize | None = None
    evaluate: Evaluate | None = None
    student: Student | None = None
    train_nlu: Annotated[TrainNlu | None, Field(alias="train-nlu")] = None
    bundle: Bundle | None = None
    bars: dict[_Word, dict[Annotated[str, Field(min_length=1, max_length=120)], float]] = {}
