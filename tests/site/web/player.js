// A minimal DASH player: reads the manifest's two files and feeds them to the video element.
(async () => {
  const video = document.querySelector("video.player");
  const address = video.querySelector("source").src;
  const manifest = new DOMParser().parseFromString(await (await fetch(address)).text(), "text/xml");
  const media = new MediaSource();
  video.src = URL.createObjectURL(media);
  await new Promise((resolve) => media.addEventListener("sourceopen", resolve, { once: true }));
  await Promise.all(Array.from(manifest.querySelectorAll("Representation"), async (one) => {
    const type = `${one.getAttribute("mimeType")}; codecs="${one.getAttribute("codecs")}"`;
    const buffer = media.addSourceBuffer(type);
    const file = await fetch(new URL(one.querySelector("BaseURL").textContent, address));
    buffer.appendBuffer(await file.arrayBuffer());
    await new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));
  }));
  media.endOfStream();
})();
