// Who asks for a proof of being human on a page that shows nothing else; empty when nobody does.
challenges => {
  const text = document.body ? document.body.innerText : '';
  const shown = e => e.matches('script') || (e.checkVisibility() && e.getBoundingClientRect().height > 40);
  const asks = ([, selector, short]) => text.length < short && [...document.querySelectorAll(selector)].some(shown);
  return challenges.find(asks)?.[0] || '';
}
