// The camera dialog: a viewfinder, a shutter, and a way to choose a file instead.

const $ = (id) => document.getElementById(id);

export class Camera {
  constructor({ onShot, onChoose }) {
    this.onChoose = onChoose;
    this.opening = false;
    $("shoot").addEventListener("click", () => {
      onShot($("viewfinder"));
      $("camera").close();
    });
    $("choose").addEventListener("click", () => {
      $("camera").close();
      onChoose();
    });
    $("close-camera").addEventListener("click", () => $("camera").close());
    $("camera").addEventListener("close", () => this.release());
  }

  // Without a camera the customer chooses a file.
  async open() {
    if (this.opening || $("camera").open) return;
    this.opening = true;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      $("viewfinder").srcObject = this.stream;
      await $("viewfinder").play();
      $("camera").showModal();
    } catch {
      this.release();
      this.onChoose();
    } finally {
      this.opening = false;
    }
  }

  close() {
    $("camera").close();
  }

  release() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    $("viewfinder").srcObject = null;
  }
}
