// Read the document as it stands.
(htmlMax, titleMax, textMax) => {
  const body = document.body, kind = document.doctype;
  const seen = 'img,video,audio,canvas,svg,iframe,object,embed';
  const html = (kind ? new XMLSerializer().serializeToString(kind) : '') + document.documentElement.outerHTML;
  return {
    html: html.slice(0, htmlMax),
    cut: html.length > htmlMax,
    title: document.title.slice(0, titleMax),
    text: body ? body.innerText.slice(0, textMax) : '',
    empty: !body || !(body.innerText.trim() || body.querySelector(seen)),
    agent: navigator.userAgent,
  };
}
