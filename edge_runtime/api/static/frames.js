// Runs in the audio thread: hands the microphone's samples to the page in blocks.
const BLOCK = 1024; // 64 ms at 16 kHz: few messages, and little is lost at the end

class Frames extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK);
    this.filled = 0;
  }

  process([input]) {
    for (const sample of input[0] ?? []) {
      this.block[this.filled++] = sample;
      if (this.filled === BLOCK) {
        this.port.postMessage(this.block.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("frames", Frames);
