// The traffic of a post: what a platform's page fetches once it stands.
const json = { "Content-Type": "application/json" };

async function comments() {
  const answer = await fetch("/api/comments?page=1&sort=新着&q=%E6%98%9F+cat&empty=");
  const { comments } = await answer.json();
  const list = document.getElementById("comments");
  list.textContent = "";
  for (const { from, text } of comments) {
    const item = document.createElement("li");
    const who = document.createElement("b");
    who.textContent = from;
    item.append(who, " ", text);
    list.append(item);
  }
}

async function aborted() {
  const stop = new AbortController();
  const answer = await fetch("/api/drip?until=abort", { signal: stop.signal });
  await answer.body.getReader().read();
  stop.abort();
}

async function all() {
  await Promise.all([
    comments(),
    fetch("/api/view?post=1", { method: "POST", headers: json, body: JSON.stringify({ post: 1, 題: "流星の夜", mood: "🌠" }) }),
    fetch("/api/like", { method: "POST", body: new URLSearchParams({ post: "1", 名前: "ねこ", note: "a b&c=d" }) }),
    fetch(window.OTHER + "/api/view?from=videos", { method: "POST", headers: json, body: '{"seen":"星"}' }),
    fetch("/media/two.mp4", { method: "HEAD" }),
    fetch("/assets/site.css", { cache: "no-cache" }),
    fetch("/p/1?via=fetch"),
    aborted(),
  ]);
  navigator.sendBeacon("/api/beacon?left=1", JSON.stringify({ seconds: 3, 言葉: "またね" }));
  document.getElementById("state").textContent = "読み込み完了 · ready";
  document.documentElement.dataset.ready = "yes";
}
all();
