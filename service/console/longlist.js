// A list of any length: only what is near the screen is in the document, the rest is empty room of the same height.

import { fill, h } from "./dom.js";

/** Items in a block. It fills whole rows of one to six columns. */
const BLOCK = 60;
/** How far from the screen a block is made and emptied, in pixels. */
const NEAR = "1200px 0px";

export class LongList {
  /** `element` is the list, `make(item)` makes the element of one, and `key(item)` tells items apart. */
  constructor(element, make, key, signal) {
    Object.assign(this, { element, make, key, items: [], keys: new Set(), blocks: [], made: new Map() });
    this.watch = new IntersectionObserver((seen) => this.#seen(seen), { rootMargin: NEAR });
    signal.addEventListener("abort", () => this.watch.disconnect());
    addEventListener("resize", () => this.#makeRoom(), { signal });
  }

  clear() {
    this.#set([]);
    this.made.clear();
  }

  /** Those that are not there yet, at the end. */
  add(items) {
    this.#set([...this.items, ...items.filter((each) => !this.keys.has(this.key(each)))]);
  }

  addFirst(item) {
    this.#set([item, ...this.items]);
  }

  remove(key) {
    this.made.delete(key);
    if (this.keys.has(key)) this.#set(this.items.filter((each) => this.key(each) !== key));
  }

  /** Puts an item in the place of the one with its key; false if there is none. */
  replace(item) {
    const at = this.items.findIndex((each) => this.key(each) === this.key(item));
    if (at < 0) return false;
    this.items[at] = item;
    this.made.delete(this.key(item));
    this.#draw();
    return true;
  }

  /** The element of an item, if it is in the document. */
  of(key) {
    return this.made.get(key);
  }

  #set(items) {
    this.items = items;
    this.keys = new Set(items.map(this.key));
    this.#draw();
  }

  #draw() {
    const count = Math.ceil(this.items.length / BLOCK);
    while (this.blocks.length < count) this.#addBlock();
    for (const block of this.blocks.splice(count)) {
      this.watch.unobserve(block.element);
      block.element.remove();
    }
    for (const block of this.blocks) this.#fill(block);
    this.#makeRoom();
    const kept = new Set(this.blocks.filter((each) => each.near).flatMap((each) => this.#itemsOf(each).map(this.key)));
    for (const key of this.made.keys()) if (!kept.has(key)) this.made.delete(key);
  }

  #addBlock() {
    const element = h("div", { class: "grid", role: "presentation" });
    this.blocks.push({ element, near: this.blocks.length < 2, number: this.blocks.length });
    this.element.append(element);
    this.watch.observe(element);
  }

  #itemsOf({ number }) {
    return this.items.slice(number * BLOCK, (number + 1) * BLOCK);
  }

  #fill(block) {
    const items = this.#itemsOf(block);
    const wanted = block.near ? items.map((item, index) => this.#elementOf(item, block.number * BLOCK + index + 1)) : [];
    const { children } = block.element;
    if (wanted.length !== children.length || wanted.some((each, index) => each !== children[index])) {
      const focused = document.activeElement;
      fill(block.element, wanted);
      if (wanted.some((each) => each.contains(focused))) focused.focus({ preventScroll: true });
    }
  }

  #elementOf(item, position) {
    const key = this.key(item);
    if (!this.made.has(key)) this.made.set(key, this.make(item));
    const element = this.made.get(key);
    element.setAttribute("aria-posinset", position);
    element.setAttribute("aria-setsize", "-1");
    return element;
  }

  /** Empty blocks are as high as their items would be, by what one row has now. */
  #makeRoom() {
    const shown = this.blocks.find((each) => each.element.firstElementChild)?.element;
    if (!shown) return;
    const { gridTemplateColumns, rowGap } = getComputedStyle(shown);
    const [columns, gap, row] = [gridTemplateColumns.split(" ").length, parseFloat(rowGap), shown.firstElementChild.getBoundingClientRect().height];
    for (const block of this.blocks) {
      const rows = Math.ceil(this.#itemsOf(block).length / columns);
      const height = block.near ? "auto" : `${rows * (row + gap) - gap}px`;
      if (block.element.style.height !== height) block.element.style.setProperty("height", height);
    }
  }

  #seen(seen) {
    for (const { target, isIntersecting } of seen) {
      const block = this.blocks.find((each) => each.element === target);
      if (block) block.near = isIntersecting;
    }
    this.#draw();
  }
}
