// The kiosk: one WebSocket to the device, one conversation on screen.

import { Loudspeaker, Microphone } from "./microphone.js";
import { prepare, snapshot } from "./picture.js";
import { STRINGS } from "./strings.js";
import { addAssistant, addCustomer, button, clear, status } from "./view.js";

const IDLE_MS = 120_000; // the next customer must not find the former one's conversation
const MIN_SPEECH_MS = 300;
const $ = (id) => document.getElementById(id);

const speaker = new Loudspeaker();
let info = { languages: ["zh", "en", "es"], quick: {}, shop: {}, tagline: {} };
let language = "zh";
let session = newSession();
let socket = null;
let reply = null;
let question = null;
let idle = 0;

function newSession() {
  return `kiosk-${crypto.randomUUID()}`;
}

const say = (key) => (STRINGS[language] ?? STRINGS.en)[key];

// ---- the wire ----

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/talk`);
  socket.onopen = () => status("");
  socket.onmessage = ({ data }) => receive(JSON.parse(data));
  socket.onclose = () => {
    reply?.fail(say("problem"));
    reply = null;
    status(say("gone"));
    setTimeout(connect, 1500);
  };
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return status(say("gone"));
  socket.send(message instanceof ArrayBuffer ? message : JSON.stringify(message));
}

const RECEIVE = {
  heard: () => status(say("heard")),
  transcript(event) {
    status("");
    if (question) {
      question.textContent = event.text;
      question.hidden = !event.text;
    }
  },
  text: (event) => reply?.write(event.text),
  card: (event) => reply?.card(event),
  speech: (event) => speaker.say(event.wav),
  done(event) {
    status("");
    reply?.replace(event.reply);
    reply?.sources(say("sources"), event.sources);
    reply = null;
    touch();
  },
  error(event) {
    status("");
    if (reply) reply.fail(event.message || say("problem"));
    else status(event.message);
    reply = null;
    touch();
  },
};

function receive(event) {
  RECEIVE[event.type]?.(event);
}

// ---- asking ----

function begin(text, preview) {
  stopReply();
  question = addCustomer(text, preview);
  reply = addAssistant(askText);
  touch();
}

function askText(text) {
  const trimmed = text.trim();
  if (!trimmed) return;
  begin(trimmed);
  send({ type: "ask", text: trimmed, language: chosen(), session, speak: !speaker.muted });
}

async function askPicture(make) {
  try {
    const { base64, preview } = await make();
    const text = $("text").value.trim();
    $("text").value = "";
    begin(text, preview);
    send({ type: "ask", text, image: base64, language: chosen(), session, speak: !speaker.muted });
  } catch {
    status(say("badPicture"));
    setTimeout(() => status(""), 3000);
  }
}

// The page's language is what buttons say; what the customer types or says may be another one.
function chosen() {
  return $("language").dataset.fixed ? language : "";
}

function stopReply() {
  speaker.hush();
  if (reply) {
    send({ type: "cancel" });
    reply.remove();
    reply = null;
  }
}

// ---- the microphone ----

const microphone = new Microphone((frame, loud) => {
  $("mic").style.setProperty("--loud", loud.toFixed(2));
  if (socket?.readyState === WebSocket.OPEN) socket.send(frame);
});
let pressedAt = 0;

async function press(event) {
  event.preventDefault();
  if (pressedAt) return;
  pressedAt = performance.now();
  stopReply();
  $("mic").classList.add("on");
  $("mic-label").textContent = say("release");
  send({ type: "listen", language: chosen() || language, session, speak: !speaker.muted });
  try {
    await microphone.start();
  } catch {
    letGo();
    send({ type: "cancel" });
    status(say("noMicrophone"));
    setTimeout(() => status(""), 4000);
  }
}

async function release() {
  if (!pressedAt) return;
  const held = performance.now() - pressedAt;
  letGo();
  await microphone.stop();
  if (held < MIN_SPEECH_MS) {
    send({ type: "cancel" });
    status(say("tooShort"));
    setTimeout(() => status(""), 2500);
    return;
  }
  question = addCustomer("");
  reply = addAssistant(askText);
  status(say("heard"));
  send({ type: "listened" });
  touch();
}

function letGo() {
  pressedAt = 0;
  $("mic").classList.remove("on");
  $("mic").style.setProperty("--loud", "0");
  $("mic-label").textContent = say("hold");
}

// ---- the camera ----

let viewing = null;

async function openCamera() {
  try {
    viewing = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    return $("file").click();
  }
  $("viewfinder").srcObject = viewing;
  await $("viewfinder").play();
  $("camera").showModal();
}

function closeCamera() {
  viewing?.getTracks().forEach((track) => track.stop());
  viewing = null;
  $("camera").close();
}

// ---- the page ----

function setLanguage(code, fixed) {
  language = code;
  document.documentElement.lang = code;
  document.documentElement.dir = code === "ar" ? "rtl" : "ltr";
  $("language").value = code;
  if (fixed) $("language").dataset.fixed = "1";
  $("shop").textContent = info.shop[code] ?? info.shop.en ?? "";
  $("tagline").textContent = info.tagline[code] ?? info.tagline.en ?? "";
  document.title = $("shop").textContent;
  const labels = {
    hello: "hello", hint: "hint", "mic-label": "hold", "again-label": "again", "language-label": "language",
    "drop-label": "drop", shoot: "shoot", choose: "choose", "close-camera": "close",
  };
  for (const [id, key] of Object.entries(labels)) $(id).textContent = say(key);
  for (const [id, key] of Object.entries({ picture: "picture", send: "send", again: "again", mute: "mute" })) {
    $(id).setAttribute("aria-label", say(key));
  }
  $("text").placeholder = say("placeholder");
  const quick = info.quick[code] ?? info.quick.en ?? [];
  $("quick").replaceChildren(...quick.map((text) => button(text, () => askText(text))));
}

function startOver() {
  stopReply();
  session = newSession();
  delete $("language").dataset.fixed;
  clear();
  status("");
}

function touch() {
  clearTimeout(idle);
  idle = setTimeout(startOver, IDLE_MS);
}

function wire() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    askText($("text").value);
    $("text").value = "";
  });
  $("again").addEventListener("click", startOver);
  $("language").addEventListener("change", () => setLanguage($("language").value, true));
  $("mute").addEventListener("click", () => {
    speaker.muted = !speaker.muted;
    $("mute").setAttribute("aria-pressed", String(speaker.muted));
    if (speaker.muted) speaker.hush();
  });
  $("mic").addEventListener("pointerdown", press);
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  $("mic").addEventListener("keydown", (event) => event.key === " " && !event.repeat && press(event));
  $("mic").addEventListener("keyup", (event) => event.key === " " && release());
  $("mic").addEventListener("contextmenu", (event) => event.preventDefault());

  $("picture").addEventListener("click", openCamera);
  $("shoot").addEventListener("click", () => {
    askPicture(async () => snapshot($("viewfinder")));
    closeCamera();
  });
  $("choose").addEventListener("click", () => {
    closeCamera();
    $("file").click();
  });
  $("close-camera").addEventListener("click", closeCamera);
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) askPicture(() => prepare(file));
  });

  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? ($("drop").hidden = true));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").hidden = true;
    const [file] = event.dataTransfer.files;
    if (file) askPicture(() => prepare(file));
  });
  addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) askPicture(() => prepare(file));
  });
}

async function open() {
  wire();
  info = await (await fetch("/api/info")).json();
  const codes = [...info.languages, ...Object.keys(STRINGS).filter((c) => !info.languages.includes(c))];
  $("language").replaceChildren(...codes.map((code) => new Option(STRINGS[code]?.name ?? code, code)));
  setLanguage(info.default_language, false);
  connect();
  document.body.dataset.ready = "1";
}

open();
