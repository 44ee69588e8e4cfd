importScripts("/everything/web/library.js");
fetch("/everything/text/from-a-worker").then(answer => answer.text()).then(() => postMessage("done"));
