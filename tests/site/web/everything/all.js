// Asks for everything, and says so when it is through.
const { cdn, away, closed, unknown, run } = window.HOSTS;
const at = path => "/everything/" + path;
const read = async (url, options) => (await fetch(url, options)).text();
const fails = promise => promise.then(() => { throw new Error("it should have failed"); }, () => undefined);
const pause = ms => new Promise(done => setTimeout(done, ms));
const told = what => new Promise(done => addEventListener("message", ({ data }) => data === what && done()));
const loads = frame => new Promise(done => frame.addEventListener("load", done, { once: true }));
const json = { "Content-Type": "application/json" };

async function workers() {
  const done = worker => new Promise(resolve => { worker.onmessage = resolve; });
  const shared = new SharedWorker(at("web/shared.js"));
  await Promise.all([
    done(new Worker(at("web/dedicated.js"))),
    done(new Worker(at("web/module-worker.js"), { type: "module" })),
    done(shared.port),
  ]);
}

async function serviceWorker() {
  const scope = at("web/controlled.html");
  const registered = await navigator.serviceWorker.register(at("web/service.js"), { scope });
  const worker = registered.installing || registered.waiting || registered.active;
  await new Promise(done => {
    const look = () => worker.state === "activated" && done();
    worker.addEventListener("statechange", look);
    look();
  });
  const frame = document.getElementById("controlled"), over = told("controlled done");
  frame.src = scope;
  await over;
}

async function windows() {
  const nested = told("nested done"), over = told("popup done");
  open(at("web/popup.html"), "", "popup,width=300,height=200");
  await over;
  await Promise.race([nested, pause(3000)]); // it may have been quicker than this script
}

async function bodies() {
  const form = new FormData();
  form.append("題", "流星の夜");
  form.append("file", new Blob([new Uint8Array(300).map((_, n) => n)], { type: "application/x-test" }), "星.bin");
  const large = new Blob([new Uint8Array(1 << 20).map((_, n) => (n * 31) >> 3)]);
  await Promise.all([
    read(at("api/json"), { method: "POST", headers: json, body: JSON.stringify({ 星: [1, 2, null] }) }),
    read(at("api/multipart"), { method: "POST", body: form }),
    read(at("api/large"), { method: "POST", body: large }),
    read(at("api/empty"), { method: "POST" }),
    read(at("api/put"), { method: "PUT", body: new URLSearchParams({ 名前: "ねこ" }) }),
    read(at("api/delete"), { method: "DELETE" }),
    read(at("odd/continue"), { method: "POST", body: "may I?" }),
  ]);
}

async function redirects() {
  for (const code of [301, 302, 303, 307, 308]) {
    await read(at("moved/" + code));
    await read(at("moved/" + code + "?by=post"), { method: "POST", body: "post " + code });
  }
  await read(at("moved-away"));
  await fetch(at("moved/302?manual"), { redirect: "manual" });
  await fails(fetch(at("moved/302?error"), { redirect: "error" }));
}

async function across() {
  await read(cdn + at("api/preflighted"), { method: "PUT", headers: { ...json, "X-Custom": "1" }, body: "{}" });
  await read(cdn + at("text/simple"));
  await fails(fetch(cdn + at("unshared/refused")));
  await fetch(cdn + at("unshared/opaque"), { mode: "no-cors" });
  await read(away + at("api/with-credentials"), { method: "POST", body: "x" });
  await fails(fetch(closed + "/nobody"));
  await fails(fetch(unknown + "/nowhere"));
}

async function caching() {
  await read(at("tagged/twice"));
  await read(at("tagged/twice"));
  await read(at("kept/once"));
  await read(at("kept/once"));
  await read(at("kept/once"), { cache: "only-if-cached", mode: "same-origin" });
  await read(at("kept/once"), { cache: "reload" });
  const frame = document.createElement("iframe");
  frame.src = at("tagged/reloaded");
  let loaded = loads(frame);
  document.body.append(frame);
  await loaded;
  loaded = loads(frame);
  frame.contentWindow.location.reload();
  await loaded;
}

async function reused() { // from the renderer's own memory, mostly
  const image = url => new Promise(done => { const one = new Image(); one.onload = one.onerror = done; one.src = url; document.body.append(one); });
  const script = url => new Promise(done => { const one = document.createElement("script"); one.onload = done; one.src = url; document.body.append(one); });
  for (let n = 0; n < 3; n++) await image(cdn + "/img/tile.png?n=11");
  await image(cdn + "/img/three.jpg");
  for (let n = 0; n < 2; n++) await script(at("web/library.js?for=page"));
  for (let n = 0; n < 2; n++) await read(at("text/preloaded"));
  await read(at("text/prefetched"));
  await Promise.all([1, 2, 3].map(() => read(at("kept/at-once"))));
  await Promise.all([1, 2, 3].map(() => read(at("text/at-once"))));
}

async function refused() { // before anything is sent
  const blocked = url => new Promise(done => { const one = new Image(); one.onload = one.onerror = done; one.src = url; });
  await blocked(location.origin.replace("https:", "http:") + at("text/mixed.png"));
  const given = new Image();
  given.src = at("given-up/image.png");
  given.src = "";
  const frame = document.createElement("iframe");
  frame.src = at("given-up/frame");
  document.body.append(frame);
  frame.remove();
  const early = new AbortController();
  const never = fetch(at("given-up/at-once"), { signal: early.signal });
  early.abort();
  await fails(never);
}

async function ranges() {
  const range = value => ({ headers: { Range: value } });
  const url = cdn + at("ranged/two.mp4");
  await (await fetch(url, range("bytes=0-99"))).arrayBuffer();
  await (await fetch(url, range("bytes=1000-65535"))).arrayBuffer();
  await (await fetch(url, range("bytes=-10"))).arrayBuffer();
  await (await fetch(url + "?beyond", range("bytes=999999999-"))).text();
}

async function odd() {
  await read(at("odd/bytes"), { headers: { "X-Note": "caf\xe9 \xff" } });
  const names = ["odd/chunks", "odd/until-close", "odd/http10", "odd/http10-keep", "odd/newlines", "odd/hints",
    "coded/gzip", "coded/br", "coded/deflate", "empty", "nothing", "missing"];
  for (const name of names) await read(at(name));
  await fetch(at("text/head"), { method: "HEAD" });
}

async function troubled() {
  for (const name of ["reset", "chunks"]) await fails(read(at("broken/" + name)));
  await fails(fetch(at("broken/unanswered")));
  await fails(fetch(at("broken/nonsense")));
  const stop = new AbortController();
  const dripping = await fetch(at("given-up/dripping"), { signal: stop.signal });
  await dripping.body.getReader().read();
  stop.abort();
  const late = new AbortController();
  const waiting = fetch(at("given-up/late"), { signal: late.signal });
  await pause(200);
  late.abort();
  await fails(waiting);
  for (let n = 0; n < 8; n++) await read(at("odd/tired?n=" + n));
}

function credentials(scheme, user) {
  return new Promise(done => {
    const asking = new XMLHttpRequest();
    asking.open("GET", at("auth/" + scheme + "?as=" + user), true, user, "open-sesame");
    asking.onloadend = done;
    asking.send();
  });
}

async function restarts() {
  await read(at("auth/basic?as=nobody"), { credentials: "omit" });
  await credentials("basic", "ali");
  await credentials("digest", "baba");
}

function events() {
  return new Promise(done => {
    const source = new EventSource(at("events"));
    let count = 0;
    source.onmessage = () => {
      if (++count === 5) { source.close(); done(); }
    };
  });
}

function sockets() {
  const url = path => "wss://" + location.host + at("socket/" + path);
  const over = socket => new Promise(done => { socket.onclose = done; });
  const talk = new WebSocket(url("talk"));
  talk.binaryType = "arraybuffer";
  let count = 0;
  talk.onopen = () => {
    talk.send("やあ");
    talk.send(new Uint8Array([0, 1, 2, 255]));
    talk.send("x".repeat(70000));
    talk.send("");
  };
  talk.onmessage = () => { if (++count === 6) talk.send("bye"); };
  const deflated = new WebSocket(url("deflated"));
  deflated.onmessage = ({ data }) => data.startsWith("縮") ? deflated.send("ぎゅっと".repeat(5000)) : deflated.close(1000, "enough");
  const open = new WebSocket(url("left-open"));
  const refused = new WebSocket(url("refused"));
  return Promise.all([over(talk), over(deflated), over(refused), new Promise(done => { open.onmessage = done; })]);
}

async function leaving() {
  navigator.sendBeacon(at("api/beacon?plain"), "言葉");
  const frame = document.createElement("iframe");
  frame.src = at("web/leaving.html");
  const loaded = loads(frame);
  document.body.append(frame);
  await loaded;
  frame.remove();
}

async function forms() {
  const frame = document.querySelector("[name=forms]");
  let loaded = loads(frame);
  document.getElementById("plain").submit();
  await loaded;
  loaded = loads(frame);
  document.getElementById("pinging").click();
  await loaded;
}

async function everything() {
  fetch(at("held?run=" + run));
  const steps = { workers, serviceWorker, windows, bodies, redirects, across, caching, reused, refused, ranges, odd, troubled, restarts, events, sockets, leaving, forms };
  const results = await Promise.allSettled(Object.values(steps).map(step => step()));
  const failed = results.flatMap((result, n) => result.status === "rejected" ? [Object.keys(steps)[n] + ": " + result.reason] : []);
  await pause(600); // what nobody waits for: beacons, pings, reports, prefetches
  document.getElementById("state").textContent = failed.join("; ") || "ready";
  document.documentElement.dataset.ready = failed.length ? "no" : "yes";
  await fetch(at("through?run=" + run), { method: "POST" });
}
everything();
