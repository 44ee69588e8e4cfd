// An HTTP/2 server (Playwright's own Node) that says on stdout what it received and sent:
// one JSON line an exchange, bodies as SHA-256.
// node h2_server.js CERTIFICATE-AND-KEY.pem UDP-PORT  →  first line: {"port": N}
const crypto = require("crypto"), fs = require("fs"), http2 = require("http2"), zlib = require("zlib");
const sha256 = data => crypto.createHash("sha256").update(data).digest("hex");
const pem = fs.readFileSync(process.argv[2]);
const page = `<!doctype html><title>h2</title><h1>星</h1><img src="/img?a=1&b=%20"><img src="https://10.0.0.1/pixel.png">
<script>
fetch("/post?x=1", {method: "POST", body: "hello=\\u3042"});
fetch("/large", {method: "POST", body: "0123456789".repeat(20000)});
fetch("/head", {method: "HEAD"});
fetch("/gzip").then(r => r.text());
fetch("/moved");
const stop = new AbortController();
fetch("/endless", {signal: stop.signal}).then(async r => { await r.body.getReader().read(); stop.abort(); });
new Worker("/worker.js");
open("/popup");
new WebSocket("wss://" + location.host + "/socket");
const peer = new RTCPeerConnection({iceServers: [{urls: "stun:127.0.0.1:${process.argv[3]}"}]});
peer.createDataChannel("x");
peer.createOffer().then(offer => peer.setLocalDescription(offer));
alert("hello"); confirm("really?"); prompt("who?"); document.title = "after all dialogs";
</script>`;
const large = "abcdefghij".repeat(30000);
const answers = {
  "/": [200, {"content-type": "text/html; charset=utf-8", "x-note": "caf\u00e9 100%", "set-cookie": ["a=1", "b=2"]}, page],
  "/gzip": [200, {"content-type": "application/json", "content-encoding": "gzip"}, zlib.gzipSync(`"${large}"`)],
  "/moved": [302, {location: "/landed", "content-length": 10}, "over there"],
  "/worker.js": [200, {"content-type": "text/javascript"}, 'fetch("/from-worker")'],
};
const server = http2.createSecureServer({key: pem, cert: pem}, (request, response) => {
  const parts = [];
  request.on("data", part => parts.push(part));
  request.on("end", () => {
    const [status, headers, body] = answers[request.url] || [200, {"content-type": "text/plain"}, `this is ${request.url}`];
    response.writeHead(status, headers);
    const seen = {method: request.method, path: request.url, status, sent: sha256(Buffer.concat(parts))};
    if (request.url === "/endless") response.write("first drop, then nothing more");
    else response.end(request.method === "HEAD" ? "" : body);
    const answered = request.method === "HEAD" || request.url === "/endless" ? "" : body;
    console.log(JSON.stringify({...seen, answered: sha256(answered)}));
  });
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({port: server.address().port})));
