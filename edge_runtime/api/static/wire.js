// The WebSocket to the device; connects again by itself when the device comes back.

const RETRY_MS = 1500;

export class Wire {
  constructor({ onEvent, onOpen, onLost }) {
    Object.assign(this, { onEvent, onOpen, onLost });
    this.connect();
  }

  connect() {
    this.waiting = [];
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/api/talk`);
    this.socket.onopen = () => {
      for (const data of this.waiting.splice(0)) this.socket.send(data);
      this.onOpen();
    };
    this.socket.onmessage = ({ data }) => this.onEvent(JSON.parse(data));
    this.socket.onclose = () => {
      this.onLost();
      setTimeout(() => this.connect(), RETRY_MS);
    };
  }

  // Sends a message (object) or a microphone frame (ArrayBuffer); while a connection is being made
  // it waits for it. False when nobody is there.
  send(message) {
    const data = message instanceof ArrayBuffer ? message : JSON.stringify(message);
    if (this.socket.readyState === WebSocket.CONNECTING) this.waiting.push(data);
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
    else return false;
    return true;
  }
}
