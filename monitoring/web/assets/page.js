// Keeps an open page up to date: it reads the page again and changes what differs. The page
// is complete without it.
(() => {
  "use strict";
  const every = Number(document.body.dataset.refresh);
  const live = document.getElementById("live");
  let since = Date.now(), timer = 0;

  function say(state, text) {
    if (live.className !== state) live.className = state;
    if (live.textContent !== text) live.textContent = text;
  }

  // same says whether one element can become the other.
  const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.id === b.id;

  // morph makes a like b, and leaves alone what is alike: focus, scroll positions and what is
  // selected survive.
  function morph(a, b) {
    if (a.isEqualNode(b)) return;
    if (a.nodeType !== Node.ELEMENT_NODE) {
      a.nodeValue = b.nodeValue;
      return;
    }
    for (const {name} of [...a.attributes]) if (!b.hasAttribute(name)) a.removeAttribute(name);
    for (const {name, value} of b.attributes) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
    let at = a.firstChild;
    for (const n of [...b.childNodes]) {
      const known = n.id && a.querySelector(":scope > #" + CSS.escape(n.id));
      if (known && known !== at) a.insertBefore(known, at);
      const old = known || at;
      if (old && same(old, n)) {
        morph(old, n);
        at = old.nextSibling;
      } else {
        a.insertBefore(document.importNode(n, true), at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  async function update() {
    const answer = await fetch(location.href, {cache: "no-store", headers: {Accept: "text/html"}, signal: AbortSignal.timeout(8000)});
    if (answer.status !== 200) throw new Error("status " + answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.body.dataset.build !== document.body.dataset.build) {
      location.reload(); // another version is running now
      return;
    }
    page.getElementById("live").replaceWith(live.cloneNode(true));
    document.title = page.title;
    const icon = page.getElementById("icon").getAttribute("href");
    const mine = document.getElementById("icon");
    if (mine.getAttribute("href") !== icon) mine.setAttribute("href", icon);
    const focused = document.activeElement;
    for (const part of ["header", "main"]) morph(document.querySelector(part), page.querySelector(part));
    // What has moved has lost the focus.
    if (focused !== document.activeElement && focused.isConnected) focused.focus({preventScroll: true});
  }

  async function tick() {
    clearTimeout(timer);
    if (document.hidden) return; // it goes on when the page is looked at again
    try {
      await update();
      since = Date.now();
      say("on", "live");
    } catch {
      say("off", "no answer since " + new Date(since).toISOString().slice(11, 19));
    }
    timer = setTimeout(tick, every);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
  say("on", "live");
  timer = setTimeout(tick, every);
})();
