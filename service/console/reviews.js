// Pictures that nobody can see until somebody approves them. Whoever looks through them sees them blurred at first.

import { ask, onceKey, pages } from "./api.js";
import { button, field, fill, h, icon } from "./dom.js";
import { time } from "./format.js";
import { confirmed, explain, heading, toast } from "./notices.js";
import { has, t } from "./texts.js";

export async function reviews(place, app, signal) {
  const list = h("ul", { class: "cards" });
  const more = h("div", { class: "row center" });
  const walk = pages("review", { limit: 24 }, signal);
  let count = 0;
  fill(place, heading(t("view.reviews")), h("p", { class: "lead" }, t("reviewsText")), list, more);
  await next();

  async function next() {
    const { value } = await walk.next();
    const held = await Promise.all((value?.images || []).map((each) => ask("GET", `review/${each.uniqueId}`, { signal }).catch(() => null)));
    for (const each of held.filter(Boolean)) list.append(card(each));
    count += held.length;
    if (!count) fill(list, h("li", { class: "empty" }, icon("check"), h("p", {}, t("noReviews"))));
    fill(more, value?.lastEvaluatedKey ? button(t("more"), next) : null);
  }

  function card(held) {
    const right = (variants) => [...variants].sort((one, other) => one.width - other.width).find((each) => each.width >= 300) || variants[0];
    const variant = right(held.variants);
    const picture = variant && h("img", { src: variant.url || held.blurred || "", alt: t("pictureOf", { name: held.filename }), width: variant.width, height: variant.height });
    const frame = h("span", { class: "frame veiled" }, picture);
    let blurred = Boolean(variant) && !variant.url;
    const show = button(t("showClearly"), async () => {
      try {
        // Its URL is asked for only now: until then nothing here could show it.
        if (blurred) picture.src = right((await ask("GET", `review/${held.uniqueId}`, { query: { clear: true }, signal })).variants).url;
        blurred = false;
      } catch (error) {
        return toast(explain(error), "bad");
      }
      const veiled = frame.classList.toggle("veiled");
      show.replaceChildren(t(veiled ? "showClearly" : "blurAgain"));
    }, { kind: "small" });
    const comment = h("input", { maxlength: 256 });
    const element = h("li", { class: "card" }, frame, h("h2", {}, held.filename),
      h("p", { class: "row" }, h("span", { class: "badge needs_review" }, has(`reason.${held.reason}`) ? t(`reason.${held.reason}`) : held.reason), h("small", { class: "muted" }, time(held.askedAt))),
      field(t("comment"), comment),
      h("div", { class: "row" }, show, button(t("approve"), () => decide("approve"), { kind: "small primary", icon: "check", "aria-label": t("approveWhat", { what: held.filename }) }), button(t("reject"), () => decide("reject"), { kind: "small danger", "aria-label": t("rejectWhat", { what: held.filename }) })));

    async function decide(decision) {
      if (decision === "reject" && !(await confirmed(t("rejectTitle", { name: held.filename }), t("rejectText"), t("reject")))) return;
      try {
        await ask("POST", `review/${held.uniqueId}`, { body: { decision, processingId: held.processingId, comment: comment.value || undefined }, key: onceKey() });
        toast(t(`done.${decision}`));
        element.remove();
      } catch (error) {
        if ([404, 409].includes(error.status)) element.remove();
        toast(explain(error), "bad");
      }
    }
    return element;
  }
}
