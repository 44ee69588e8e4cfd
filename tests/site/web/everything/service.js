importScripts("/everything/web/library.js?for=service");
addEventListener("install", event => event.waitUntil((async () => {
  const cache = await caches.open("one");
  await cache.addAll(["/everything/text/precached-1", "/everything/text/precached-2?x=星"]);
  await skipWaiting();
})()));
addEventListener("activate", event => event.waitUntil(clients.claim()));
addEventListener("fetch", event => {
  const url = new URL(event.request.url);
  if (url.pathname.includes("precached")) event.respondWith(caches.match(event.request));
  else if (url.pathname.includes("made-up")) event.respondWith(new Response("made up by the worker"));
  else if (url.pathname.includes("passed-on")) event.respondWith(fetch(event.request));
  else if (url.pathname.includes("rewritten")) event.respondWith(fetch("/everything/text/in-its-place"));
});
