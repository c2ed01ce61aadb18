// The kiosk: one WebSocket to the device, one conversation on screen.

import { Camera } from "./camera.js";
import { Loudspeaker } from "./loudspeaker.js";
import { Microphone } from "./microphone.js";
import { prepare, snapshot } from "./picture.js";
import { STRINGS } from "./strings.js";
import { TalkButton } from "./talkbutton.js";
import { button, clear, notice, Turn, watchOverflow } from "./view.js";
import { Wire } from "./wire.js";

const IDLE_MS = 120_000; // the next customer must not find the former one's conversation
const WARNING_MS = 20_000;
const HINT_MS = 3500;
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);
const PROBLEMS = { TextError: "tooLong", AudioError: "badSound", ImageError: "badPicture", EngineTimeoutError: "slow" };
const $ = (id) => document.getElementById(id);

let info, wire, language;
let idle = 0;
let fixed = false; // whether the customer has chosen a language; otherwise it is told from the words
let session = freshId();
let turn = null; // the one being answered
let turnId = "";
let recordingEnds = 0;

const say = (key) => (STRINGS[language] ?? STRINGS.en)[key];
const localized = (texts) => texts[language] ?? texts.en ?? texts[info.default_language];
const speaker = new Loudspeaker(showBusy);

// Not crypto.randomUUID: that one is missing where the page is not served from localhost.
function freshId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// ---- events of the turn ----

const EVENTS = {
  transcript(event) {
    notice("");
    turn.heard(event.text);
  },
  text: (event) => turn.write(event.text),
  card: (event) => turn.card(event),
  speech: (event) => speaker.say(event.wav),
  done(event) {
    notice("");
    turn.done(event.reply);
    showSources(turn, event);
    finish();
  },
  error(event) {
    notice("");
    const known = PROBLEMS[event.error];
    turn.fail(say(known ?? "problem"), known ? "" : `${event.message} ${event.hint}`.trim());
    finish();
  },
};

// What was on its way for an older question is neither shown nor spoken.
function receive(event) {
  if (event.turn !== turnId) return;
  if (turn) EVENTS[event.type]?.(event);
  else if (event.type === "error") {
    talkButton.drop();
    notice(say(PROBLEMS[event.error] ?? "problem"), HINT_MS);
  }
  stay();
}

function finish() {
  turn = null;
  showBusy();
}

// Orders, tickets and receipts are sources too, but no passages: they are on their cards.
async function showSources(shown, event) {
  if (!event.sources.length) return;
  const wanted = new URLSearchParams([["language", event.language], ...event.sources.map((id) => ["id", id])]);
  const answer = await fetch(`/api/sources?${wanted}`).catch(() => null);
  if (answer?.ok) shown.sources(await answer.json());
}

// ---- asking ----

// Stop what is being said and written, at once.
function stopAnswer() {
  speaker.hush();
  turnId = "";
  if (!turn) return;
  wire.send({ type: "cancel" });
  turn.interrupt();
  finish();
}

function interrupt() {
  talkButton.drop();
  stopAnswer();
}

// What every question carries.
function envelope() {
  turnId = freshId();
  return { turn: turnId, session, language: fixed ? language : "", speak: !speaker.muted };
}

function begin(text, preview) {
  notice("");
  turn = new Turn({ ask, say }, text, preview);
  showBusy();
  stay();
}

function ask(text) {
  interrupt();
  begin(text);
  deliver({ type: "ask", text, ...envelope() });
}

async function askPicture(make) {
  let shot;
  try {
    shot = await make();
  } catch {
    return notice(say("badPicture"), HINT_MS);
  }
  const text = takeText();
  interrupt();
  begin(text, shot.preview);
  deliver({ type: "ask", text, image: shot.base64, ...envelope() });
}

function deliver(message) {
  if (wire.send(message)) return;
  turn.fail(say("gone"));
  finish();
}

function takeText() {
  const text = $("text").value.trim();
  $("text").value = "";
  showBusy();
  return text;
}

function showBusy() {
  const halting = Boolean(turn || speaker.speaking) && !$("text").value.trim();
  document.body.classList.toggle("halting", halting);
  $("send").setAttribute("aria-label", say(halting ? "stop" : "send"));
}

// ---- the microphone ----

const microphone = new Microphone((frame, loud) => {
  $("mic").style.setProperty("--loud", loud.toFixed(2));
  wire.send(frame);
});

const talkButton = new TalkButton($("mic"), {
  onPress: listen,
  onRelease() {
    stopListening();
    begin("");
    notice(say("heard"));
    deliver({ type: "listened" });
  },
  onTap() {
    cancelListening();
    notice(say("tooShort"), HINT_MS);
  },
  onCancel: cancelListening,
});

async function listen() {
  stopAnswer();
  $("mic").classList.add("on");
  $("mic-label").textContent = say("release");
  notice(say("opening"));
  wire.send({ type: "listen", ...envelope() });
  recordingEnds = setTimeout(() => talkButton.up(), (info.limits.audio_s - 1) * 1000);
  stay();
  try {
    if (await microphone.open()) notice(say("listening"));
  } catch {
    talkButton.drop();
    notice(say("noMicrophone"), HINT_MS);
  }
}

function stopListening() {
  clearTimeout(recordingEnds);
  microphone.close();
  $("mic").classList.remove("on");
  $("mic").style.setProperty("--loud", "0");
  $("mic-label").textContent = say("hold");
}

function cancelListening() {
  stopListening();
  wire.send({ type: "cancel" });
  notice("");
}

// ---- pictures ----

const camera = new Camera({
  onShot: (video) => askPicture(async () => snapshot(video)),
  onChoose: () => $("file").click(),
});

function wirePictures() {
  $("picture").addEventListener("click", () => camera.open());
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) askPicture(() => prepare(file));
    $("file").value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").hidden = !event.dataTransfer.types.includes("Files");
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

// ---- the page ----

const TEXTS = {
  hello: "hello", hint: "hint", "mic-label": "hold", "again-label": "again", "language-label": "language",
  "drop-label": "drop", shoot: "shoot", choose: "choose", "close-camera": "close",
};
const LABELS = { picture: "picture", again: "again", mute: "mute", more: "more", text: "placeholder" };

function setLanguage(code, chosen) {
  language = code;
  fixed = chosen;
  document.documentElement.lang = code;
  document.documentElement.dir = RIGHT_TO_LEFT.has(code) ? "rtl" : "ltr";
  $("language").value = code;
  $("shop").textContent = localized(info.shop) ?? "";
  $("tagline").textContent = localized(info.tagline) ?? "";
  document.title = $("shop").textContent;
  for (const [id, key] of Object.entries(TEXTS)) $(id).textContent = say(key);
  for (const [id, key] of Object.entries(LABELS)) $(id).setAttribute("aria-label", say(key));
  $("text").placeholder = say("placeholder");
  $("quick").replaceChildren(...(localized(info.quick) ?? []).map((text) => button(text, () => ask(text))));
  for (const node of $("tongues").children) node.setAttribute("aria-pressed", String(node.lang === code));
  showBusy();
}

function listLanguages() {
  const others = Object.keys(STRINGS).filter((code) => !info.languages.includes(code));
  const named = (code) => STRINGS[code]?.name ?? code;
  $("language").replaceChildren(...[...info.languages, ...others].map((code) => new Option(named(code), code)));
  $("tongues").replaceChildren(
    ...info.languages.map((code) => {
      const node = button(named(code), () => setLanguage(code, true));
      node.lang = code;
      return node;
    }),
  );
}

// Nothing of this conversation stays, neither on screen nor for the next question.
function startOver() {
  interrupt();
  session = freshId();
  takeText();
  clear();
}

function leave() {
  startOver();
  camera.close();
  setLanguage(info.default_language, false);
}

// Somebody is there: the conversation stays.
function stay() {
  clearTimeout(idle);
  idle = setTimeout(() => {
    if (speaker.speaking) return stay();
    if (document.body.classList.contains("talking")) notice(say("leaving"), WARNING_MS);
    idle = setTimeout(leave, WARNING_MS);
  }, IDLE_MS - WARNING_MS);
}

function wirePage() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = takeText();
    if (words) ask(words);
    else stopAnswer();
  });
  $("text").addEventListener("input", showBusy);
  $("again").addEventListener("click", startOver);
  $("language").addEventListener("change", () => setLanguage($("language").value, true));
  $("mute").addEventListener("click", () => {
    speaker.muted = !speaker.muted;
    $("mute").setAttribute("aria-pressed", String(speaker.muted));
    if (speaker.muted) speaker.hush();
  });
  for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, somebodyThere, { passive: true });
  $("close-reader").addEventListener("click", () => $("reader").close());
  wirePictures();
  watchOverflow();
}

function somebodyThere() {
  if ($("status").textContent === say("leaving")) notice("");
  stay();
}

async function readInfo() {
  for (;;) {
    const answer = await fetch("/api/info").catch(() => null);
    if (answer?.ok) return answer.json();
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

async function open() {
  info = await readInfo();
  $("text").maxLength = info.limits.text_chars;
  listLanguages();
  setLanguage(info.default_language, false);
  wire = new Wire({
    onEvent: receive,
    onOpen: () => notice(""),
    onLost() {
      talkButton.drop();
      if (turn) EVENTS.error({ error: "", message: "", hint: "" });
      notice(say("gone"));
    },
  });
  wirePage();
  document.body.dataset.ready = "1";
}

open();
