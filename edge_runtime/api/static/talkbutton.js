// Hold to talk: by finger, mouse or keyboard. Releasing counts wherever the finger has gone.

const SHORTEST_MS = 300;
const TAIL_MS = 250; // people let go while the last syllable still sounds
const KEYS = new Set([" ", "Enter"]);

export class TalkButton {
  // calls: onPress, onRelease, onTap (too short), onCancel.
  constructor(node, calls) {
    this.node = node;
    this.calls = calls;
    this.pointer = null;
    this.pressedAt = 0;
    this.ending = 0;
    node.addEventListener("pointerdown", (event) => this.pointerDown(event));
    addEventListener("pointerup", (event) => event.pointerId === this.pointer && this.up());
    addEventListener("pointercancel", (event) => event.pointerId === this.pointer && this.up());
    node.addEventListener("keydown", (event) => this.keyDown(event));
    addEventListener("keyup", (event) => KEYS.has(event.key) && this.pointer === null && this.up());
    addEventListener("blur", () => this.up());
    node.addEventListener("click", (event) => event.preventDefault());
    node.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get held() {
    return this.pressedAt > 0;
  }

  // Whether a recording is being made: held, or let go a moment ago.
  get recording() {
    return this.held || this.ending > 0;
  }

  pointerDown(event) {
    if (event.button !== 0 || this.held) return;
    event.preventDefault();
    this.pointer = event.pointerId;
    this.down();
  }

  keyDown(event) {
    if (event.key === "Escape" && this.held) return this.drop();
    if (!KEYS.has(event.key)) return;
    event.preventDefault();
    if (!event.repeat && !this.held) this.down();
  }

  down() {
    this.stopEnding();
    this.pressedAt = performance.now();
    this.calls.onPress();
  }

  up() {
    if (!this.held) return;
    const held = performance.now() - this.pressedAt;
    this.pressedAt = 0;
    this.pointer = null;
    if (held < SHORTEST_MS) this.calls.onTap();
    else this.ending = setTimeout(() => this.release(), TAIL_MS);
  }

  release() {
    this.ending = 0;
    this.calls.onRelease();
  }

  // Forget the press: nothing is sent when the finger comes up.
  drop() {
    if (!this.recording) return;
    this.stopEnding();
    this.pressedAt = 0;
    this.pointer = null;
    this.calls.onCancel();
  }

  stopEnding() {
    clearTimeout(this.ending);
    this.ending = 0;
  }
}
