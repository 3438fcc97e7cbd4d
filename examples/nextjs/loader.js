"use client";

/** The widths of the variants of the preset `standard`, in pixels. `webp` has the original's own size. */
const VARIANTS = [
  [300, "thumbnail"],
  [800, "medium"],
  [1920, "large"],
];

/**
 * For `next/image`: the smallest variant that is at least as wide as what is asked for.
 *
 * `src` is the URL of any variant. The quality is the variant's own.
 */
export default function trussLoader({ src, width }) {
  const url = new URL(src);
  const [, name] = VARIANTS.find(([most]) => width <= most) ?? [0, "webp"];
  url.pathname = url.pathname.replace(/[^/]+\.webp$/, `${name}.webp`);
  return url.href;
}
