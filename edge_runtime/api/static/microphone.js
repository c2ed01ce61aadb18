// The microphone as 16-bit 16 kHz mono frames.

const RATE = 16000;

export class Microphone {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.session = 0;
  }

  // Opens the microphone; rejects with the browser's own error when it may not or cannot.
  // Resolves to false when it was closed again before it was open.
  async open() {
    const session = ++this.session;
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true },
    });
    if (session !== this.session) return stopTracks(stream);
    this.stream = stream;
    await this.prepare();
    if (session !== this.session) return stopTracks(stream);
    this.node = new AudioWorkletNode(this.context, "frames", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => {
      if (session === this.session) this.onFrame(toPcm16(data), loudness(data));
    };
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.node);
    return true;
  }

  close() {
    this.session++;
    if (this.stream) stopTracks(this.stream);
    this.source?.disconnect();
    this.stream = this.source = this.node = null;
    this.context?.suspend();
  }

  // The audio thread is kept between questions: starting it takes the beginning off a sentence.
  async prepare() {
    if (!this.context) {
      const context = new AudioContext({ sampleRate: RATE });
      await context.audioWorklet.addModule("frames.js");
      this.context = context;
    }
    await this.context.resume();
  }
}

function stopTracks(stream) {
  stream.getTracks().forEach((track) => track.stop());
  return false;
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
