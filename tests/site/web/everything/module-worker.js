import { answer } from "./imported.js";
await (await fetch("{{cdn}}/everything/api/from-a-module-worker", { method: "POST", headers: { "X-Custom": answer }, body: answer })).text();
postMessage("done");
