"""Models and bundles on disk: catalogue, fetching, verified store, slots, quality cards."""

from edge_runtime.bundles.catalogue import Archive, Catalogue, ModelEntry, ModelFile
from edge_runtime.bundles.opened import bundle_files, shipped_files, shipped_folder
from edge_runtime.bundles.progress import ProgressSink
from edge_runtime.bundles.pull import Pulled, pull
from edge_runtime.bundles.store import Installed, ModelStore, Verified

__all__ = [
    "Archive",
    "Catalogue",
    "Installed",
    "ModelEntry",
    "ModelFile",
    "ModelStore",
    "ProgressSink",
    "Pulled",
    "Verified",
    "bundle_files",
    "pull",
    "shipped_files",
    "shipped_folder",
]
