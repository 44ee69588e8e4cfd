// The everything page over HTTP/2: a server (Playwright's own Node) that does with frames what frames allow,
// and says on stdout what it received and sent, one JSON line a request, bodies as SHA-256.
// node everything_h2.js CERTIFICATE-AND-KEY.pem  →  first line: {"port": N}; ends with SIGTERM
const crypto = require("crypto"), fs = require("fs"), http2 = require("http2"), zlib = require("zlib");
const sha256 = data => crypto.createHash("sha256").update(data).digest("hex");
const pem = fs.readFileSync(process.argv[2]);
const page = fs.readFileSync(__dirname + "/web/everything/h2.html", "utf8");
const LONG = "長い".repeat(3000), TEXT = "every kind of frame ".repeat(2000);
const {NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_NO_ERROR} = http2.constants;
const text = {"content-type": "text/plain; charset=utf-8", "access-control-allow-origin": "*", "access-control-allow-headers": "x-custom, content-type", "access-control-allow-methods": "PUT", "access-control-max-age": "0"};
const refused = new Set();
let held = null;

// Each takes (stream, request headers, request body, say); `say(status, body, more)` writes the log's line.
const answers = {
  "/": (stream, _, body, say) => {
    stream.additionalHeaders({":status": 103, link: "</hinted>; rel=preload; as=fetch; crossorigin"});
    stream.respond({":status": 200, "content-type": "text/html; charset=utf-8", "x-note": "caf\u00e9 100%", "set-cookie": ["a=1", "b=2"]});
    stream.end(page);
    say(200, page, {interim: 1});
  },
  "/gzip": (stream, _, body, say) => {
    const data = zlib.gzipSync(TEXT);
    stream.respond({":status": 200, ...text, "content-encoding": "gzip"});
    stream.end(data);
    say(200, data);
  },
  "/br": (stream, _, body, say) => {
    const data = zlib.brotliCompressSync(TEXT);
    stream.respond({":status": 200, ...text, "content-encoding": "br"});
    stream.end(data);
    say(200, data);
  },
  "/long-fields": (stream, _, body, say) => { // 60 KB of fields: CONTINUATION frames
    const fields = Object.fromEntries([...Array(20).keys()].map(n => ["x-long-" + n, String(n).repeat(1500)]));
    stream.respond({":status": 200, ...text, ...fields});
    stream.end("long");
    say(200, "long");
  },
  "/trailers": (stream, _, body, say) => {
    stream.respond({":status": 200, ...text}, {waitForTrailers: true});
    stream.once("wantTrailers", () => stream.sendTrailers({"x-sum": "26", "x-more": "two"}));
    stream.end("with trailers");
    say(200, "with trailers", {trailers: "x-sum: 26\r\nx-more: two\r\n"});
  },
  "/empty": (stream, _, body, say) => { stream.respond({":status": 200, ...text}, {endStream: true}); say(200, ""); },
  "/nothing": (stream, _, body, say) => { stream.respond({":status": 204}, {endStream: true}); say(204, ""); },
  "/moved/302": (stream, _, body, say) => { stream.respond({":status": 302, location: "/landed?302", "content-length": 5}); stream.end("there"); say(302, "there"); },
  "/moved/307": (stream, _, body, say) => { stream.respond({":status": 307, location: "/landed?307"}); stream.end("again"); say(307, "again"); },
  "/tagged": (stream, headers, body, say) => {
    const known = headers["if-none-match"] === '"same"';
    stream.respond({":status": known ? 304 : 200, etag: '"same"', "cache-control": "no-cache"}, {endStream: known});
    if (!known) stream.end("tagged");
    say(known ? 304 : 200, known ? "" : "tagged");
  },
  "/reset": (stream, _, body, say) => {
    stream.respond({":status": 200, ...text, "content-length": 1000}, {waitForTrailers: true}); // else it would end it first
    stream.write("half of it");
    setTimeout(() => stream.close(NGHTTP2_INTERNAL_ERROR), 100);
    say(200, "half of it", {cut: true});
  },
  "/refused-once": (stream, headers, body, say) => {
    const key = headers[":path"];
    if (!refused.has(key)) {
      refused.add(key);
      stream.close(NGHTTP2_REFUSED_STREAM);
      return say(0, "", {cut: true});
    }
    stream.respond({":status": 200, ...text});
    stream.end("the second time");
    say(200, "the second time");
  },
  "/endless": (stream, _, body, say) => {
    stream.respond({":status": 200, ...text});
    stream.write("first drop, then nothing more");
    stream.on("error", () => {});
    say(200, "first drop, then nothing more", {cut: true});
  },
  "/goaway": (stream, _, body, say) => { // the last that this connection answers: what comes next goes to another
    stream.respond({":status": 200, ...text});
    stream.end("farewell");
    say(200, "farewell");
    stream.session.goaway(NGHTTP2_NO_ERROR);
  },
  "/goaway-before": (stream, _, body, say) => { // not this one any more: the browser sends it again elsewhere
    if (refused.size && !refused.has("goaway")) {
      refused.add("goaway");
      stream.session.goaway(NGHTTP2_NO_ERROR, stream.id - 2);
      setTimeout(() => stream.session && stream.session.destroy(), 100);
      return say(0, "", {cut: true});
    }
    stream.respond({":status": 200, ...text});
    stream.end("on another connection");
    say(200, "on another connection");
  },
  "/one-one": (stream, _, body, say) => { stream.close(NGHTTP2_HTTP_1_1_REQUIRED); say(0, "", {cut: true}); },
  "/held": (stream, _, body, say) => {
    held = () => { stream.respond({":status": 204}, {endStream: true}); say(204, ""); };
    setTimeout(() => held && held(), 30000);
  },
  "/through": (stream, _, body, say) => {
    stream.respond({":status": 204}, {endStream: true});
    say(204, "");
    if (held) { held(); held = null; }
  },
  "/auth": (stream, headers, body, say) => {
    const status = headers.authorization ? 200 : 401;
    stream.respond({":status": status, ...(status === 401 ? {"www-authenticate": 'Basic realm="h2"'} : text)});
    stream.end("who?");
    say(status, "who?");
  },
  "/events": (stream, _, body, say) => {
    stream.respond({":status": 200, "content-type": "text/event-stream"});
    stream.end("retry: 9000\ndata: 一\n\ndata: 二\n\n");
    say(200, "retry: 9000\ndata: 一\n\ndata: 二\n\n");
  },
  "/worker.js": script('fetch("/from-worker").then(r => r.text()).then(() => postMessage("done"))'),
  "/service.js": script('addEventListener("fetch", e => { if (e.request.url.includes("made-up")) e.respondWith(new Response("x")); else if (e.request.url.includes("passed")) e.respondWith(fetch(e.request)); })'),
  "/scope/page": (stream, _, body, say) => {
    const html = '<!doctype html><script type=module>for (const n of ["made-up", "passed"]) await (await fetch("/scope/" + n)).text(); parent.postMessage("controlled", "*")</script>';
    stream.respond({":status": 200, "content-type": "text/html", "service-worker-allowed": "/"});
    stream.end(html);
    say(200, html);
  },
};

function script(code) {
  return (stream, _, body, say) => { stream.respond({":status": 200, "content-type": "text/javascript", "service-worker-allowed": "/"}); stream.end(code); say(200, code); };
}

function say(facts) { console.log(JSON.stringify(facts)); }

function socket(stream, headers) { // RFC 8441, its frames by hand
  const sent = [], got = [];
  const send = hex => { const data = Buffer.from(hex, "hex"); sent.push(data); stream.write(data); };
  stream.respond({":status": 200});
  send("8102" + Buffer.from("hi").toString("hex"));
  stream.on("data", data => {
    got.push(data);
    if (got.length === 1) send("8203" + "00ff7f" + "8802" + "03e8");
  });
  stream.on("error", () => {});
  stream.on("close", () => say({method: "CONNECT", path: headers[":path"], host: headers[":authority"], status: 200, sent: sha256(""), answered: sha256(""), frames_in: Buffer.concat(got).toString("hex"), frames_out: Buffer.concat(sent).toString("hex")}));
  setTimeout(() => stream.end(), 1500);
}

const server = http2.createSecureServer({key: pem, cert: pem, allowHTTP1: true, maxSendHeaderBlockLength: 1 << 17,
  paddingStrategy: http2.constants.PADDING_STRATEGY_MAX, settings: {enableConnectProtocol: true, maxHeaderListSize: 1 << 17}});
server.on("request", (request, response) => { // HTTP/1.1, after HTTP_1_1_REQUIRED
  response.writeHead(200, {...text, "content-length": 9});
  response.end("as before");
  say({method: request.method, path: request.url, host: request.headers.host, status: 200, sent: sha256(""), answered: sha256("as before"), size: 9, h1: true});
});
server.removeAllListeners("stream"); // else Node answers HTTP/2 too as if it were HTTP/1.1
server.on("stream", (stream, headers) => {
  const method = headers[":method"], path = headers[":path"], parts = [];
  stream.on("error", () => {});
  if (method === "CONNECT") return socket(stream, headers);
  stream.on("data", part => parts.push(part));
  stream.on("end", () => {
    const body = Buffer.concat(parts);
    const told = (status, answer, more) => say({method, path, host: headers[":authority"], status, sent: sha256(body), answered: sha256(answer), size: Buffer.byteLength(answer), ...more});
    if (method === "HEAD" || method === "OPTIONS") {
      stream.respond({":status": 200, ...text, "content-length": method === "HEAD" ? 5 : 0}, {endStream: true});
      return told(200, "");
    }
    const answer = answers[path.split("?")[0]];
    if (answer) return answer(stream, headers, body, told);
    stream.respond({":status": 200, ...text});
    stream.end(`this is ${path}`);
    told(200, `this is ${path}`);
  });
});
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({port: server.address().port})));
