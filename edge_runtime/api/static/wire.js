// The WebSocket to the device; connects again by itself when the device comes back.

const RETRY_MS = 1500;

export class Wire {
  constructor({ onEvent, onOpen, onLost }) {
    Object.assign(this, { onEvent, onOpen, onLost });
    this.connect();
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/api/talk`);
    this.socket.onopen = () => this.onOpen();
    this.socket.onmessage = ({ data }) => this.onEvent(JSON.parse(data));
    this.socket.onclose = () => {
      this.onLost();
      setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  // Sends a message (object) or a microphone frame (ArrayBuffer); false when nobody is there.
  send(message) {
    if (!this.open) return false;
    this.socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
    return true;
  }
}
