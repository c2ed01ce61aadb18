// The conversation on screen. All text goes in as text nodes: nothing from outside becomes markup.

const $ = (id) => document.getElementById(id);

export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

export function addCustomer(text, preview) {
  const item = make("li", "customer");
  if (preview) {
    const image = make("img");
    image.src = preview;
    image.alt = "";
    item.append(image);
  }
  const bubble = make("div", "bubble", text);
  bubble.hidden = !text;
  item.append(bubble);
  return append(item, bubble);
}

// A reply being written; returns the calls that fill it.
export function addAssistant(onTap) {
  const item = make("li", "assistant");
  const bubble = make("div", "bubble waiting");
  const cards = make("div", "cards");
  const replies = make("div", "chips replies");
  item.append(bubble, cards, replies);
  append(item, bubble);
  const reveal = () => item.scrollIntoView({ block: "end" });
  return {
    item,
    write(text) {
      bubble.classList.remove("waiting");
      bubble.append(text);
      reveal();
    },
    replace(text) {
      if (bubble.textContent !== text) bubble.textContent = text;
      bubble.classList.remove("waiting");
    },
    fail(text) {
      bubble.classList.remove("waiting");
      bubble.classList.add("problem");
      bubble.textContent = text;
    },
    card(card) {
      if (card.kind === "buttons") {
        for (const label of card.buttons) replies.append(button(label, () => onTap(label)));
      } else {
        cards.append(cardNode(card));
      }
      reveal();
    },
    sources(label, names) {
      if (!names.length) return;
      const line = make("div", "sources", label);
      for (const name of names) line.append(make("span", "", name));
      item.append(line);
      reveal();
    },
    remove() {
      item.remove();
    },
  };
}

export function button(label, onTap) {
  const node = make("button", "", label);
  node.type = "button";
  node.addEventListener("click", onTap);
  return node;
}

export function status(text) {
  $("status").textContent = text;
  $("status").hidden = !text;
}

export function clear() {
  $("turns").replaceChildren();
  document.body.classList.remove("talking");
}

function cardNode(card) {
  const node = make("article", `card ${card.kind}`);
  if (card.image) {
    const image = make("img");
    image.src = `/api/pictures/${card.image.split("/").map(encodeURIComponent).join("/")}`;
    image.alt = card.title;
    node.append(image);
  }
  if (card.title) node.append(make("h3", "", card.title));
  if (card.body) node.append(make("p", "", card.body));
  return node;
}

function append(item, bubble) {
  document.body.classList.add("talking");
  $("turns").append(item);
  item.scrollIntoView({ block: "end" });
  return bubble;
}
