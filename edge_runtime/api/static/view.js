// The conversation on screen. All text goes in as text nodes: nothing from outside becomes markup.

const $ = (id) => document.getElementById(id);

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// One question and its answer. Calls: ask(text) for a tapped suggestion, say(key) for fixed words.
export class Turn {
  constructor({ ask, say }, text, preview) {
    this.calls = { ask, say };
    this.node = make("li", "turn");
    this.node.setAttribute("aria-busy", "true");
    this.question = bubble("customer", text);
    if (preview) this.question.row.prepend(picture(preview, "", say));
    this.answer = bubble("assistant", "");
    this.answer.words.classList.add("waiting");
    this.cards = make("div", "cards");
    this.replies = make("div", "replies");
    this.answer.row.append(this.cards, this.replies);
    this.node.append(this.question.row, this.answer.row);
    document.body.classList.add("talking");
    $("turns").append(this.node);
    this.node.scrollIntoView({ block: "start" });
  }

  // What was heard; nothing heard leaves no empty bubble.
  heard(text) {
    this.question.words.textContent = text;
    this.question.words.hidden = !text;
  }

  write(text) {
    this.answer.words.classList.remove("waiting");
    this.answer.words.append(text);
  }

  card(card) {
    if (card.kind === "buttons") {
      for (const label of card.buttons) this.replies.append(button(label, () => this.calls.ask(label)));
    } else {
      this.cards.append(cardNode(card, this.calls.say));
    }
  }

  done(text) {
    if (this.answer.words.textContent !== text) this.answer.words.textContent = text;
    this.answer.words.hidden = !text;
    this.settle();
  }

  fail(text, detail) {
    this.answer.words.classList.add("problem");
    this.answer.words.textContent = text;
    if (detail) this.answer.words.append(make("small", "", detail));
    this.settle();
  }

  // The customer went on before the answer was complete: what was said of it stays.
  interrupt() {
    this.answer.words.hidden = !this.answer.words.textContent;
    this.settle();
  }

  // Passages the answer came from: {title, text, images}; a tap shows the passage itself.
  sources(passages) {
    if (!passages.length) return;
    const line = make("div", "sources");
    line.append(make("span", "", this.calls.say("source")));
    for (const passage of passages) {
      line.append(button(passage.title, () => read(passage.title, passage.text, passage.images.map(pictureAddress), this.calls.say)));
    }
    this.answer.row.append(line);
  }

  settle() {
    this.answer.words.classList.remove("waiting");
    this.node.removeAttribute("aria-busy");
  }
}

export function button(label, onTap) {
  const node = make("button", "", label);
  node.type = "button";
  node.dir = "auto";
  node.addEventListener("click", onTap);
  return node;
}

let noticeTimer = 0;

// A line over the conversation; it goes by itself after `ms`, or stays when that is 0.
export function notice(text, ms = 0) {
  clearTimeout(noticeTimer);
  $("status").textContent = text;
  $("status").hidden = !text;
  if (text && ms) noticeTimer = setTimeout(() => notice(""), ms);
}

export function clear() {
  $("turns").replaceChildren();
  $("reader").close();
  document.body.classList.remove("talking");
  notice("");
}

// The arrow that tells there is more to read below.
export function watchOverflow() {
  const main = $("talk");
  const update = () => {
    const below = main.scrollHeight - main.clientHeight - main.scrollTop;
    $("more").hidden = below < 8;
  };
  $("more").addEventListener("click", () => main.scrollBy({ top: main.clientHeight * 0.8, behavior: "smooth" }));
  main.addEventListener("scroll", update, { passive: true });
  const sizes = new ResizeObserver(update);
  for (const node of [main, $("turns"), $("welcome")]) sizes.observe(node);
}

function bubble(who, text) {
  const row = make("div", who);
  const words = make("div", "bubble", text);
  words.dir = "auto";
  words.hidden = who === "customer" && !text;
  row.append(words);
  return { row, words };
}

function picture(address, title, say) {
  const frame = make("button", "photo");
  frame.type = "button";
  const image = make("img");
  image.src = address;
  image.alt = title;
  frame.setAttribute("aria-label", title || say("picture"));
  frame.append(image);
  frame.addEventListener("click", () => read(title, "", [address], say));
  return frame;
}

function cardNode(card, say) {
  const node = make("article", `card ${card.kind}`);
  if (card.image) node.append(picture(pictureAddress(card.image), card.title, say));
  const words = make("div", "words");
  words.dir = "auto";
  const title = card.title || (card.kind === "handover" ? say("person") : "");
  if (title) words.append(make("h3", "", title));
  if (card.body) words.append(make("p", "", card.body));
  if (words.childElementCount) node.append(words);
  return node;
}

// A picture or a passage, large.
function read(title, text, addresses, say) {
  $("reader-title").textContent = title;
  $("reader-title").hidden = !title;
  const words = make("p", "", text);
  words.dir = "auto";
  const images = addresses.map((address) => Object.assign(make("img"), { src: address, alt: title }));
  $("reader-body").replaceChildren(...(text ? [words] : []), ...images);
  $("close-reader").textContent = say("close");
  $("reader").showModal();
}

function pictureAddress(name) {
  return `/api/pictures/${name.split("/").map(encodeURIComponent).join("/")}`;
}
