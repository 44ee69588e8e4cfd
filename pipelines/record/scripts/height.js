// How tall the page is, in CSS pixels.
() => Math.max(document.documentElement.scrollHeight, document.body?.scrollHeight || 0)
