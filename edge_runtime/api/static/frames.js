// Runs in the audio thread: hands every block of microphone samples to the page.
class Frames extends AudioWorkletProcessor {
  process([input]) {
    if (input[0]) this.port.postMessage(input[0].slice());
    return true;
  }
}
registerProcessor("frames", Frames);
