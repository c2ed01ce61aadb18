from __future__ import annotations

from pathlib import Path

import pytest
from bundle_kit import sha
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_runtime.bundles.blobs import BlobStore
from edge_runtime.bundles.manifest import BundleManifest, Component
from edge_runtime.bundles.slots import Slots
from edge_runtime.bundles.slotstate import MAX_FAILED_STARTS
from edge_runtime.errors import ModelCorruptError, ModelError, ModelMissingError, StorageError


def bundle(blobs: BlobStore, version: int) -> BundleManifest:
    data = f"weights {version}".encode()
    blobs.add([data], len(data), sha(data), label="m")
    component = Component("nlu/model.onnx", len(data), sha(data), "onnx", "MIT")
    return BundleManifest("b", str(version), "0.1", (component,))


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    return Slots(tmp_path / "slots", BlobStore(tmp_path / "store"))


def install(slots: Slots, version: int) -> None:
    slots.fill(bundle(slots.blobs, version))
    slots.activate()


def test_the_first_bundle_fills_a_slot_and_runs_after_activation(slots: Slots) -> None:
    name = slots.fill(bundle(slots.blobs, 1))
    assert slots.state.active is None
    assert slots.activate() == name == slots.state.active
    assert slots.files(name)["nlu/model.onnx"].read_bytes() == b"weights 1"


def test_filling_leaves_the_running_slot_untouched(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    running = slots.state.active
    assert running is not None
    assert slots.fill(bundle(slots.blobs, 2)) != running
    assert slots.state.active == running
    assert slots.manifest(running).version == "1"


def test_three_failed_starts_bring_back_the_last_good_slot(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    good = slots.state.active
    install(slots, 2)
    assert slots.state.on_trial
    assert [slots.start_failed().active == good for _ in range(3)] == [False, False, True]
    assert slots.state.failed_starts == 0
    assert not slots.state.on_trial


def test_a_committed_bundle_is_not_rolled_back(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    install(slots, 2)
    slots.commit()
    running = slots.state.active
    for _ in range(5):
        assert slots.start_failed().active == running
    assert slots.state.failed_starts == MAX_FAILED_STARTS


def test_three_starts_that_never_serve_bring_back_the_last_good_slot(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    good = slots.state.active
    install(slots, 2)
    assert [slots.begin_start() == good for _ in range(4)] == [False, False, False, True]


def test_a_start_that_serves_is_forgiven_the_ones_before(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    install(slots, 2)
    running = slots.state.active
    for _ in range(5):
        assert slots.begin_start() == running
        assert slots.begin_start() == running
        slots.started()


def test_without_a_good_slot_a_failing_bundle_leaves_the_devices_own_models(slots: Slots) -> None:
    install(slots, 1)
    assert [slots.begin_start() is None for _ in range(4)] == [False, False, False, True]
    assert slots.state.active is None


def test_a_damaged_bundle_on_trial_is_taken_back_at_the_start(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    good = slots.state.active
    install(slots, 2)
    assert slots.state.active is not None
    path = slots.files(slots.state.active)["nlu/model.onnx"]
    path.unlink()
    assert slots.begin_start() == good


def test_while_on_trial_the_last_good_slot_is_not_overwritten(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    install(slots, 2)
    with pytest.raises(ModelError, match="on trial"):
        slots.fill(bundle(slots.blobs, 3))
    assert slots.manifest(slots.inactive).version == "1"


def test_notes_lie_beside_the_manifest(slots: Slots) -> None:
    name = slots.fill(bundle(slots.blobs, 1), {"release.json": b"{}"})
    assert slots.note(name, "release.json") == b"{}"
    assert slots.note(name, "other.json") is None


def test_an_empty_slot_is_not_activated(slots: Slots) -> None:
    with pytest.raises(ModelMissingError, match="holds no bundle"):
        slots.activate()


def test_a_bundle_whose_component_is_absent_is_not_filled(slots: Slots) -> None:
    absent = Component("m.gguf", 3, "a" * 64, "gguf", "MIT")
    with pytest.raises(ModelMissingError, match=r"m\.gguf"):
        slots.fill(BundleManifest("b", "1", "0.1", (absent,)))


def test_a_spoiled_slot_is_not_activated_and_the_running_one_goes_on(slots: Slots) -> None:
    install(slots, 1)
    slots.commit()
    running = slots.state.active
    name = slots.fill(bundle(slots.blobs, 2))
    path = slots.files(name)["nlu/model.onnx"]
    path.chmod(0o644)
    path.write_bytes(b"weights X")
    with pytest.raises(ModelCorruptError, match=r"model\.onnx"):
        slots.activate()
    assert slots.state.active == running


def test_an_unfinished_slot_counts_as_empty(slots: Slots) -> None:
    name = slots.fill(bundle(slots.blobs, 1))
    (slots.root / name / "manifest.json").unlink()
    with pytest.raises(ModelMissingError):
        slots.activate()


def test_a_power_cut_during_the_switch_leaves_the_old_choice(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(slots, 1)
    slots.commit()
    before = slots.state
    slots.fill(bundle(slots.blobs, 2))

    def cut(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(StorageError):
        slots.activate()
    assert slots.state == before


@pytest.mark.parametrize("text", ["", "{}", '{"schema":1,"active":"c","good":null}'])
def test_a_damaged_state_is_said_to_be_so(slots: Slots, text: str) -> None:
    slots.root.mkdir(parents=True)
    (slots.root / "state.json").write_text(text)
    with pytest.raises(ModelCorruptError, match="slot state"):
        _ = slots.state


class SlotLife(RuleBasedStateMachine):
    """Any order of updates, commits and failures keeps a complete bundle running."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        count = sum(1 for _ in self.folder.iterdir())
        root = self.folder / str(count)
        self.slots = Slots(root / "slots", BlobStore(root / "store"))
        self.version = 0
        self.update()
        self.slots.commit()

    def update(self) -> None:
        self.version += 1
        install(self.slots, self.version)

    @rule()
    def new_bundle(self) -> None:
        if not self.slots.state.on_trial:
            self.update()

    @rule()
    def fill_only(self) -> None:
        if not self.slots.state.on_trial:
            self.version += 1
            self.slots.fill(bundle(self.slots.blobs, self.version))

    @rule(serves=st.booleans())
    def restarts(self, serves: bool) -> None:
        assert self.slots.begin_start() == self.slots.state.active
        if serves:
            self.slots.started()

    @rule()
    def taken_back(self) -> None:
        self.slots.roll_back()

    @rule()
    def works(self) -> None:
        self.slots.commit()

    @rule(times=st.integers(1, 4))
    def fails(self, times: int) -> None:
        for _ in range(times):
            self.slots.start_failed()

    @invariant()
    def something_complete_runs(self) -> None:
        state = self.slots.state
        assert state.active is not None
        assert self.slots.files(state.active)
        if state.good is not None:
            assert self.slots.files(state.good)


def test_any_history_keeps_a_complete_bundle_running(tmp_path: Path) -> None:
    class Here(SlotLife):
        folder = tmp_path

    case = Here.TestCase
    case.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
    case("runTest").runTest()
