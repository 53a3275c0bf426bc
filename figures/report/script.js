// SPDX-License-Identifier: Apache-2.0
// The page is read without this; with it, values show at once, and claims are sorted and filtered.
(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  for (const rect of document.querySelectorAll(".marks rect")) {
    rect.dataset.text = rect.textContent; // instead of the browser's own, which waits
    rect.replaceChildren();
  }
  const point = e => {
    const rect = e.target.closest?.(".marks rect");
    tip.hidden = !rect;
    if (!rect) return;
    tip.textContent = rect.dataset.text;
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(e.clientX + 12, innerWidth - w - 4)) + "px";
    tip.style.top = (e.clientY + h + 20 > innerHeight ? e.clientY - h - 10 : e.clientY + 16) + "px";
  };
  addEventListener("pointermove", point);
  addEventListener("pointerdown", point);
  addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  const table = document.querySelector(".claims"), body = table.tBodies[0], rows = [...body.rows];
  const filter = document.querySelector(".filter"), picks = [...filter.querySelectorAll("select")], count = filter.querySelector("output");
  filter.hidden = false;
  const show = () => {
    for (const r of rows) r.hidden = picks.some(p => p.value && r.dataset[p.name] !== p.value);
    count.textContent = rows.filter(r => !r.hidden).length + " of " + rows.length + " claims";
  };
  for (const p of picks) p.onchange = show;
  show();
  table.querySelectorAll("th").forEach((th, i) => {
    const key = th.dataset.key;
    if (!key) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.onclick = () => {
      const up = th.getAttribute("aria-sort") !== "ascending";
      for (const o of table.querySelectorAll("th")) o.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", up ? "ascending" : "descending");
      const of = r => r.dataset[key], number = key === "order" || key.endsWith("rank");
      rows.sort((a, b) => (number ? of(a) - of(b) : of(a).localeCompare(of(b), "en", { numeric: true })) * (up ? 1 : -1) || a.dataset.order - b.dataset.order);
      body.append(...rows);
    };
  });

  const nav = document.querySelector("nav details"), wide = matchMedia("(min-width: 70.01rem)");
  const fold = () => { nav.open = wide.matches; };
  wide.onchange = fold;
  fold();
  const links = new Map([...nav.querySelectorAll("a")].map(a => [a.hash.slice(1), a]));
  nav.onclick = e => { if (e.target.closest("a") && !wide.matches) nav.open = false; };
  const here = new IntersectionObserver(seen => {
    for (const s of seen) if (s.isIntersecting) {
      for (const a of links.values()) a.classList.remove("here");
      links.get(s.target.id)?.classList.add("here");
    }
  }, { rootMargin: "0px 0px -80% 0px" });
  for (const id of links.keys()) { const s = document.getElementById(id); if (s) here.observe(s); }
  addEventListener("beforeprint", () => { for (const d of document.querySelectorAll("main details")) d.open = true; });
})();
