// The microphone as 16-bit 16 kHz mono frames, and the loudspeaker as a queue that can be cut off.

const RATE = 16000;

export class Microphone {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.context = null;
  }

  // Opens the microphone; rejects with the browser's own error when it may not or cannot.
  async start() {
    this.stopped = false;
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true },
    });
    this.context = new AudioContext({ sampleRate: RATE });
    await this.context.audioWorklet.addModule("frames.js");
    if (this.stopped) return this.close();
    const node = new AudioWorkletNode(this.context, "frames", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.onFrame(toPcm16(data), loudness(data));
    this.context.createMediaStreamSource(this.stream).connect(node);
  }

  async stop() {
    this.stopped = true;
    await this.close();
  }

  async close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") await this.context.close();
    this.context = null;
  }
}

export class Loudspeaker {
  constructor() {
    this.playing = new Set();
    this.until = 0;
    this.muted = false;
    this.queue = Promise.resolve();
  }

  // Appends one WAV file (base64) to what is being said; files play in the order they came.
  say(base64) {
    const turn = this.turn;
    this.queue = this.queue.then(() => this.play(base64, turn));
    return this.queue;
  }

  async play(base64, turn) {
    if (turn !== this.turn || this.muted) return;
    this.context ??= new AudioContext();
    if (this.context.state === "suspended") await this.context.resume();
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const buffer = await this.context.decodeAudioData(bytes.buffer);
    if (turn !== this.turn || this.muted) return;
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    this.until = Math.max(this.until, this.context.currentTime);
    source.start(this.until);
    this.until += buffer.duration;
    this.playing.add(source);
    source.onended = () => this.playing.delete(source);
  }

  // Silence at once; what still arrives for the old turn is not played.
  hush() {
    this.turn = Symbol("turn");
    this.playing.forEach((source) => source.stop());
    this.playing.clear();
    this.until = 0;
  }
}

function toPcm16(samples) {
  const out = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    out[i] = Math.max(-1, Math.min(1, samples[i])) * 32767;
  }
  return out.buffer;
}

function loudness(samples) {
  let sum = 0;
  for (const s of samples) sum += s * s;
  return Math.min(1, Math.sqrt(sum / samples.length) * 6);
}
