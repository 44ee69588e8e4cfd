// One MP4 over HTTP/2 (HTTP/1.1 where a client cannot): node h2_video.js IDENTITY.pem CLIP.mp4
// stdout: {"port":…}, then for each request {"method","path","version","headers":[name,value,…]}.
const fs = require("fs");
const pem = fs.readFileSync(process.argv[2]);
const clip = fs.readFileSync(process.argv[3]);
const server = require("http2").createSecureServer({ key: pem, cert: pem, allowHTTP1: true });
server.on("request", (request, response) => {
  const headers = request.rawHeaders;
  console.log(JSON.stringify({ method: request.method, path: request.url, version: request.httpVersion, headers }));
  if (request.url === "/moved.mp4") {
    response.writeHead(302, { location: "/clip.mp4", "content-type": "text/html" });
    response.end("<p>Moved.</p>");
    return;
  }
  response.writeHead(200, { "content-type": "video/mp4", "content-length": clip.length, "x-note": "h2" });
  response.end(request.method === "HEAD" ? undefined : clip);
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
