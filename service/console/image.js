// One image: its variants beside each other, what is known of it, and what can be done with it.

import { ask, onceKey } from "./api.js";
import { button, field, fill, h, icon, select } from "./dom.js";
import { bytes, number, percent, seconds, time } from "./format.js";
import { confirmed, copyable, explain, failure, heading, table, toast } from "./notices.js";
import { thumbnail } from "./gallery.js";
import { faceBoxes, mayShowFaces, wholeVariants } from "./faces.js";
import { t, has } from "./texts.js";
import { ENDED } from "./uploads.js";

export async function image(place, app, signal, uniqueId) {
  fill(place, heading(t("loading")));
  let drawn = "";
  app.jobs.addEventListener("job", ({ detail }) => {
    if (detail.uniqueId !== uniqueId) return;
    if (detail.status === "deleted") return (location.hash = "#/images");
    draw();
  }, { signal });
  await draw();

  async function draw() {
    const [processed, history] = await Promise.all([`processed/${uniqueId}`, `jobs/${uniqueId}`].map((path) => ask("GET", path, { signal }).catch(absent)));
    if (!history) return fill(place, h("p", { class: "empty" }, t("noSuchImage")));
    // An event may tell what is shown already: whoever is at the slider keeps it.
    const now = JSON.stringify([processed, history]);
    if (now === drawn) return;
    drawn = now;
    const [job] = history.jobs;
    const wholes = processed && mayShowFaces(processed.facts) ? await wholeVariants(processed, signal) : null;
    const found = processed?.facts || job?.facts || {};
    fill(place,
      h("a", { class: "back", href: "#/images" }, icon("back"), t("view.images")),
      heading(job?.filename || uniqueId, badge(job), ...actions(job)),
      job?.status === "failed" ? h("div", { class: "notice bad", role: "alert" }, icon("alert"), h("p", {}, failure(job.error))) : null,
      processed?.processedImages.length ? [compare(processed, wholes), variants(processed, job)] : h("div", { class: "card stage-of" }, job ? thumbnail(job) : null),
      h("div", { class: "columns packed" }, processed?.picture ? snippets(processed) : null, facts(found), metadata(found.metadata), similar(found)),
      jobs(history));
  }

  function badge(job) {
    return job && job.status !== "completed" ? h("span", { class: `badge ${job.status}` }, t(`status.${job.status}`)) : null;
  }

  function actions(job) {
    const act = async (call, word) => {
      try {
        await call();
        toast(t(word, { n: 1 }));
      } catch (error) {
        toast(explain(error), "bad");
      }
    };
    const again = () => act(async () => {
      await ask("POST", `process/${uniqueId}`, { body: {}, key: onceKey() });
      await draw();
    }, "done.again");
    const remove = async () => {
      if (!(await confirmed(t("deleteTitle", { n: 1 }), t("deleteText"), t("delete")))) return;
      await act(async () => (await ask("DELETE", `image/${uniqueId}`), (location.hash = "#/images")), "done.deleted");
    };
    return [
      app.may("images:write") ? button(t("again"), again, { icon: "again", disabled: job && !ENDED.has(job.status) }) : null,
      app.may("images:delete") ? button(t("delete"), remove, { kind: "danger", icon: "trash" }) : null,
    ];
  }

  /** Two pictures over each other, with a slider between them: the upload itself, if this tab has it, or variants. */
  function compare(processed, wholes) {
    const widest = processed.processedImages.reduce((one, other) => (other.width > one.width ? other : one));
    const shape = widest.width / widest.height;
    const files = processed.processedImages.flatMap((each) => filesOf(each).map((file) => ({
      url: file.url, text: `${each.sizeType} · ${file.contentType.replace("image/", "")} · ${bytes(file.size)}`, shape: each.width / each.height, whole: wholes?.has(each.sizeType) })));
    const original = app.uploads.original(uniqueId);
    if (original) {
      const url = URL.createObjectURL(original);
      signal.addEventListener("abort", () => URL.revokeObjectURL(url));
      files.push({ url, text: `${t("original")} · ${bytes(original.size)}`, shape, whole: true });
    }
    const [under, over] = [0, 1].map(() => h("img", { alt: "", width: widest.width, height: widest.height }));
    const names = files.map((each, index) => [String(index), each.text]);
    const alike = names.filter((_, index) => Math.abs(files[index].shape / shape - 1) < 0.02);
    const left = select(names, alike[0][0]);
    const right = select(names, alike[alike.length - 1][0]);
    const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": t("slider") });
    const faces = faceBoxes(wholes ? processed.facts : {});
    const frame = h("div", { class: "compare", style: { "--at": "50%", "--shape": shape } }, under, over, h("span", { class: "edge", "aria-hidden": "true" }), faces?.element, slider);
    const show = () => {
      over.src = files[left.value].url;
      under.src = files[right.value].url;
      under.alt = t("pictureOf", { name: files[right.value].text });
      frame.classList.toggle("single", left.value === right.value);
      faces?.fit(files[left.value].whole && files[right.value].whole);
    };
    slider.addEventListener("input", () => frame.style.setProperty("--at", `${slider.value}%`));
    for (const each of [left, right]) each.addEventListener("change", show);
    show();
    return h("section", { class: "card", "aria-label": t("compare") }, frame, faces?.control, h("div", { class: "row spread" }, field(t("left"), left), field(t("right"), right)));
  }

  function variants(processed, job) {
    const before = job?.cost?.bytesIn;
    const weight = (file) => [bytes(file.size), before ? ` · ${percent(file.size / before)}` : ""];
    const line = (each, file) => h("p", { class: "row spread" }, h("span", {}, h("span", { class: "muted" }, `${file.contentType.replace("image/", "").toUpperCase()} · `), weight(file)),
      button(t("copy"), async () => (await navigator.clipboard.writeText(file.url), toast(t("copied"))), { kind: "small quiet", icon: "copy", "aria-label": t("copyWhat", { what: `${each.sizeType} ${file.contentType}` }) }));
    return h("section", { class: "card" }, h("h2", {}, t("variants")), before ? h("p", { class: "muted" }, t("ofOriginal", { size: bytes(before) })) : null, h("ul", { class: "side-by-side" }, processed.processedImages.map((each) => h("li", {},
      h("span", { class: "frame whole" }, h("img", { src: each.url, alt: "", width: each.width, height: each.height, loading: "lazy", decoding: "async" })),
      h("p", {}, h("a", { href: each.url, target: "_blank", rel: "noopener" }, each.sizeType), h("span", { class: "muted" }, ` ${each.width} × ${each.height}`)),
      filesOf(each).map((file) => line(each, file))))));
  }

  function snippets(processed) {
    const call = `curl -sS "${location.origin}${location.pathname.replace(/console$/, "")}processed/${uniqueId}"${app.config.open ? "" : ' -H "X-Api-Key: $TRUSS_API_KEY"'}`;
    return h("section", { class: "card" }, h("h2", {}, t("forPages")), h("h3", {}, "<picture>"), copyable(processed.picture, "picture"), h("h3", {}, "srcset"), copyable(processed.srcset, "srcset"), h("h3", {}, "curl"), copyable(call, "curl"));
  }

  function facts(found) {
    const colours = (found.colours || []).map((each) => h("span", { class: "swatch" }, h("span", { class: "chip", style: { "background-color": each.rgb } }), each.rgb, h("small", {}, percent(each.share))));
    const rows = [
      [t("fact.colour"), found.colour && h("span", { class: "swatch" }, h("span", { class: "chip", style: { "background-color": found.colour } }), found.colour)],
      [t("fact.colours"), colours.length && h("span", { class: "swatches" }, colours)],
      [t("fact.placeholder"), found.placeholder && h("img", { class: "placeholder", src: found.placeholder, alt: "", width: 48, height: 36 })],
      [t("fact.blurhash"), found.blurhash && h("code", {}, found.blurhash)],
      [t("fact.likeness"), found.likeness && h("code", {}, found.likeness)],
      [t("fact.faces"), found.faces && number(found.faces.count)],
      [t("fact.nsfw"), found.nsfw !== undefined && percent(found.nsfw)],
      [t("fact.tags"), found.tags?.length && h("span", { class: "swatches" }, found.tags.map((each) => h("a", { class: "badge", href: `#/images/tag/${encodeURIComponent(each.name)}` }, `${each.name} ${percent(each.score)}`)))],
    ].filter(([, value]) => value);
    return rows.length ? h("section", { class: "card" }, h("h2", {}, t("facts")), pairs(rows)) : null;
  }

  function metadata(found) {
    if (!found) return null;
    const { privacy, exposure, ...rest } = found;
    const said = Object.entries({ ...rest, ...exposure }).map(([name, value]) => [has(`meta.${name}`) ? t(`meta.${name}`) : name, words(value)]);
    const report = privacy && h("div", { class: "report" }, h("h3", {}, t("privacy")),
      privacy.found?.length ? null : h("p", {}, t("nothingPrivate")),
      h("ul", {}, (privacy.removed || []).map((each) => h("li", {}, icon("check"), t("removed", { what: t(`private.${each}`) }))), (privacy.kept || []).map((each) => h("li", {}, icon("alert"), t("kept", { what: t(`private.${each}`) })))));
    return said.length || report ? h("section", { class: "card" }, h("h2", {}, t("metadata")), pairs(said), report) : null;
  }

  function words(value) {
    if (Array.isArray(value)) return value.map(words).join(", ");
    if (value && typeof value === "object") return Object.values(value).map(words).join(" ");
    return typeof value === "number" ? number(value, 4) : String(value);
  }

  function jobs(page) {
    const rows = [];
    const list = h("div");
    const more = h("div", { class: "row center" });
    show(page);
    return h("section", { class: "card" }, h("h2", {}, t("history")), list, more);

    function show({ jobs: some, lastEvaluatedKey: lastKey }) {
      rows.push(...some.map((job) => [t(`status.${job.supersededBy && job.status === "failed" ? "superseded" : job.status}`), time(job.timestamp), job.preset ? `${job.preset} ${job.presetVersion ?? ""}` : "–",
        job.timings ? seconds(job.timings.total) : "–", job.cost ? seconds(job.cost.cpuMs) : "–", h("code", {}, job.processingId)]));
      fill(list, table(t("history"), [t("status"), t("since"), t("preset"), t("took"), t("cpu"), t("job")], rows));
      fill(more, lastKey ? button(t("more"), async () => show(await ask("GET", `jobs/${uniqueId}`, { query: { lastKey }, signal })), {}) : null);
    }
  }

  /** By what they show, if that is known; by their looks if not. */
  function similar(found) {
    if (!found.embedding && !found.likeness) return null;
    const by = found.embedding ? "content" : undefined;
    const list = h("ul", { class: "grid small" });
    const section = h("section", { class: "card" }, h("h2", {}, t("similar")), button(t("findSimilar"), async () => {
      try {
        const found = await ask("GET", `similar/${uniqueId}`, { query: { limit: 12, by }, signal });
        fill(list, found.images.length ? found.images.map((each) => h("li", { class: "tile" }, h("a", { href: `#/image/${each.uniqueId}/${each.processingId}` },
          h("span", { class: "frame" }, h("img", { src: each.image.url, alt: "", width: each.image.width, height: each.image.height })), h("span", { class: "name" }, each.filename), h("small", { class: "muted" }, by ? t("similarity", { n: percent(each.similarity) }) : t("distance", { n: each.distance }))))) : h("li", { class: "muted" }, t("nothingFound")));
      } catch (error) {
        toast(explain(error), "bad");
      }
    }), list);
    return section;
  }
}

/** A variant's files: WebP, and those of further formats. */
function filesOf(variant) {
  return [variant, ...Object.values(variant.formats || {})];
}

function absent(error) {
  if (error.status === 404 || error.status === 409) return null;
  throw error;
}

function pairs(rows) {
  return h("dl", { class: "pairs" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
