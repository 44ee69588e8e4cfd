// Read the document as it stands.
textMax => {
  const body = document.body, kind = document.doctype;
  const seen = 'img,video,audio,canvas,svg,iframe,object,embed';
  return {
    html: (kind ? new XMLSerializer().serializeToString(kind) : '') + document.documentElement.outerHTML,
    title: document.title,
    text: body ? body.innerText.slice(0, textMax) : '',
    empty: !body || !(body.innerText.trim() || body.querySelector(seen)),
    agent: navigator.userAgent,
  };
}
