"""Low-rank adapters of language models: trained, merged into their base, exported alone."""

from converters.lora.adapter_gguf import export_adapter
from converters.lora.merge import Merged, merge_adapter
from converters.lora.settings import LoraSettings, PreferenceSettings
from converters.lora.training import Trained, train_lora, train_preferences

__all__ = [
    "LoraSettings",
    "Merged",
    "PreferenceSettings",
    "Trained",
    "export_adapter",
    "merge_adapter",
    "train_lora",
    "train_preferences",
]
