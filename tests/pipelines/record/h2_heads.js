// A server that speaks h2 and http/1.1 (Playwright's own Node) and says on stdout which, and the head it got:
// one JSON line an exchange.  node h2_heads.js CERTIFICATE-AND-KEY.pem  →  first line: {"port": N}
const fs = require("fs"), http2 = require("http2");
const pem = fs.readFileSync(process.argv[2]);
const server = http2.createSecureServer({key: pem, cert: pem, allowHTTP1: true}, (request, response) => {
  console.log(JSON.stringify({path: request.url, version: request.httpVersion, alpn: request.socket.alpnProtocol, head: request.rawHeaders}));
  response.writeHead(200, {"content-type": "text/html; charset=utf-8"});
  response.end("<!doctype html><title>h2</title><link rel=icon href='data:,'><h1>星</h1>");
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({port: server.address().port})));
