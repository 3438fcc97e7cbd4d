// One image: its variants beside each other, what is known of it, and what can be done with it.

import { ask, onceKey } from "./api.js";
import { button, field, fill, h, icon, select } from "./dom.js";
import { bytes, number, percent, seconds, time } from "./format.js";
import { confirmed, copyable, explain, failure, heading, table, toast } from "./notices.js";
import { thumbnail } from "./gallery.js";
import { t, has } from "./texts.js";
import { ENDED } from "./uploads.js";

export async function image(place, app, signal, uniqueId, processingId) {
  fill(place, heading(t("loading")));
  let jobId = processingId;
  const history = new Map();
  app.jobs.addEventListener("job", ({ detail }) => {
    if (detail.uniqueId !== uniqueId) return;
    if (detail.status === "deleted") return (location.hash = "#/images");
    jobId = detail.processingId;
    draw();
  }, { signal });
  await draw();

  async function draw() {
    const processed = await ask("GET", `processed/${uniqueId}`, { signal }).catch((error) => {
      if (error.status === 404 || error.status === 409) return null;
      throw error;
    });
    jobId ||= processed?.processedImages[0]?.key.split("/")[2];
    const job = jobId ? await ask("GET", `status/${jobId}`, { signal }) : null;
    if (!job && !processed) return fill(place, h("p", { class: "empty" }, t("noSuchImage")));
    if (job) await remember(job);
    fill(place,
      h("a", { class: "back", href: "#/images" }, icon("back"), t("view.images")),
      heading(job?.filename || uniqueId, badge(job), ...actions(job)),
      job?.status === "failed" ? h("div", { class: "notice bad", role: "alert" }, icon("alert"), h("p", {}, failure(job.error))) : null,
      processed?.processedImages.length ? compare(processed) : h("div", { class: "card stage-of" }, job ? thumbnail(job) : null),
      h("div", { class: "columns packed" },
        processed?.processedImages.length ? variants(processed) : null,
        processed?.picture ? snippets(processed, uniqueId) : null,
        facts(processed?.facts || job?.facts || {}),
        metadata((processed?.facts || job?.facts || {}).metadata),
        jobs(),
        similar(processed?.facts || job?.facts || {})));
  }

  async function remember(job) {
    history.set(job.processingId, job);
    if (job.supersededBy && !history.has(job.supersededBy)) {
      const next = await ask("GET", `status/${job.supersededBy}`, { signal }).catch(() => null);
      if (next) await remember(next);
    }
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
      jobId = (await ask("POST", `process/${uniqueId}`, { body: {}, key: onceKey() })).processingId;
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
  function compare(processed) {
    const files = processed.processedImages.flatMap((each) => [each, ...Object.values(each.formats || {})].map((file) => ({
      url: file.url, text: `${each.sizeType} · ${file.contentType.replace("image/", "")} · ${bytes(file.size)}` })));
    const original = app.uploads.original(uniqueId);
    if (original) {
      const url = URL.createObjectURL(original);
      signal.addEventListener("abort", () => URL.revokeObjectURL(url));
      files.push({ url, text: `${t("original")} · ${bytes(original.size)}` });
    }
    const widest = processed.processedImages.reduce((one, other) => (other.width > one.width ? other : one));
    const [under, over] = [0, 1].map(() => h("img", { alt: "", width: widest.width, height: widest.height }));
    const names = files.map((each, index) => [String(index), each.text]);
    const left = select(names, "0");
    const right = select(names, String(files.length - 1));
    const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": t("slider") });
    const frame = h("div", { class: "compare", style: { "--at": "50%", "--shape": `${widest.width} / ${widest.height}` } }, under, over, h("span", { class: "edge", "aria-hidden": "true" }), slider);
    const show = () => {
      over.src = files[left.value].url;
      under.src = files[right.value].url;
      under.alt = t("pictureOf", { name: files[right.value].text });
      frame.classList.toggle("single", left.value === right.value);
    };
    slider.addEventListener("input", () => frame.style.setProperty("--at", `${slider.value}%`));
    for (const each of [left, right]) each.addEventListener("change", show);
    show();
    return h("section", { class: "card", "aria-label": t("compare") }, frame, h("div", { class: "row spread" }, field(t("left"), left), field(t("right"), right)));
  }

  function variants(processed) {
    const rows = processed.processedImages.flatMap((each) => [each, ...Object.values(each.formats || {})].map((file) => [
      h("a", { href: file.url, target: "_blank", rel: "noopener" }, each.sizeType), `${file.width} × ${file.height}`, file.contentType.replace("image/", "").toUpperCase(), bytes(file.size),
      button(t("copy"), async () => (await navigator.clipboard.writeText(file.url), toast(t("copied"))), { kind: "small quiet", icon: "copy", "aria-label": t("copyWhat", { what: `${each.sizeType} ${file.contentType}` }) })]));
    return h("section", { class: "card" }, h("h2", {}, t("variants")), table(t("variants"), [t("name"), t("size"), t("format"), t("bytes"), t("address")], rows));
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
      [t("fact.faces"), found.faces && number(found.faces.length ?? found.faces.count ?? 0)],
      [t("fact.nsfw"), found.nsfw !== undefined && percent(found.nsfw)],
      [t("fact.tags"), found.tags?.length && h("span", { class: "swatches" }, found.tags.map((each) => h("span", { class: "badge" }, `${each.name} ${percent(each.score)}`)))],
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

  function jobs() {
    const rows = [...history.values()].map((job) => [t(`status.${job.status}`), time(job.timestamp), job.preset ? `${job.preset} ${job.presetVersion ?? ""}` : "–",
      job.timings ? seconds(job.timings.total) : "–", job.cost ? seconds(job.cost.cpuMs) : "–", h("code", {}, job.processingId)]);
    return h("section", { class: "card" }, h("h2", {}, t("history")), table(t("history"), [t("status"), t("since"), t("preset"), t("took"), t("cpu"), t("job")], rows));
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

function pairs(rows) {
  return h("dl", { class: "pairs" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
