// The loudspeaker: a queue of sounds that can be cut off at any moment.

export class Loudspeaker {
  // onChange is called when it starts or stops speaking.
  constructor(onChange) {
    this.onChange = onChange;
    this.playing = new Set();
    this.until = 0;
    this.muted = false;
    this.waiting = 0;
    this.queue = Promise.resolve();
    this.turn = 0;
  }

  get speaking() {
    return this.playing.size + this.waiting > 0;
  }

  // Appends one WAV file (base64) to what is being said; files play in the order they came.
  say(base64) {
    if (this.muted) return;
    const turn = this.turn;
    this.waiting++;
    this.onChange();
    this.queue = this.queue
      .then(() => this.play(base64, turn))
      .catch(() => {}) // a sound that cannot be played costs itself only: the text is on screen
      .finally(() => {
        if (turn === this.turn) this.waiting--;
        this.onChange();
      });
  }

  async play(base64, turn) {
    if (turn !== this.turn) return;
    this.context ??= new AudioContext();
    if (this.context.state === "suspended") await this.context.resume();
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const buffer = await this.context.decodeAudioData(bytes.buffer);
    if (turn !== this.turn) return;
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    this.until = Math.max(this.until, this.context.currentTime);
    source.start(this.until);
    this.until += buffer.duration;
    this.playing.add(source);
    source.onended = () => {
      this.playing.delete(source);
      this.onChange();
    };
  }

  // Silence at once; what still arrives for the old turn is not played.
  hush() {
    this.turn++;
    this.playing.forEach((source) => source.stop());
    this.playing.clear();
    this.waiting = 0;
    this.until = 0;
    this.onChange();
  }
}
