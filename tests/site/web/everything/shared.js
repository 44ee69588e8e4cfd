onconnect = async event => {
  await (await fetch("/everything/text/from-a-shared-worker")).text();
  event.ports[0].postMessage("done");
};
