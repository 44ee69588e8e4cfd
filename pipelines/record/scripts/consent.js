// Find the frame's consent dialog and, if told to act, press one button of it: the one that refuses, else the
// one that closes; the one that accepts only where the dialog keeps the page from being seen.
(rules, words, act) => {
  const shown = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && box(e).area > 0;
  const box = e => {
    const r = e.getBoundingClientRect();
    const wide = Math.min(r.right, innerWidth) - Math.max(r.left, 0);
    const high = Math.min(r.bottom, innerHeight) - Math.max(r.top, 0);
    return {area: Math.max(0, wide) * Math.max(0, high)};
  };
  // 'a >>> b': b in the shadow of a. A dialog may be of no size itself, its parts being fixed.
  const all = (selector, root = document) => {
    const [outer, ...inner] = selector.split(' >>> ');
    const found = [...root.querySelectorAll(outer)];
    return inner.length ? found.flatMap(e => e.shadowRoot ? all(inner.join(' >>> '), e.shadowRoot) : []) : found;
  };
  const matches = (list, text) => new RegExp(list, 'iu').test(text);
  const label = e => (e.innerText || e.value || e.getAttribute('aria-label') || e.title || '').trim().replace(/\s+/gu, ' ');
  const textOf = e => (e.innerText || '').trim();
  const leads = e => {  // to somewhere else
    const link = e.closest('a[href]'), href = link?.getAttribute('href') || '';
    return Boolean(href && !/^(#|javascript:)/iu.test(href)) || Boolean(e.type === 'submit' && e.form?.hasAttribute('action'));
  };
  const buttons = root => [...root.querySelectorAll('button,[role=button],a,input[type=button],input[type=submit]')].filter(shown);
  const known = (root, rule, action) =>
    (rule[action] ? all(rule[action], root).find(shown) : null) ||
    buttons(root).find(e => [label(e), e.getAttribute('aria-label') || ''].some(text => matches(words[action], text)) && (rule.leads || !leads(e)));
  const covers = root => {  // most of the screen, or what is in the middle of it
    const parts = [root, ...root.querySelectorAll('*')].filter(shown);
    const largest = Math.max(0, ...parts.map(e => box(e).area));
    let middle = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    while (middle?.shadowRoot?.elementFromPoint(innerWidth / 2, innerHeight / 2) &&
      middle.shadowRoot.elementFromPoint(innerWidth / 2, innerHeight / 2) !== middle)
      middle = middle.shadowRoot.elementFromPoint(innerWidth / 2, innerHeight / 2);
    return root.contains(middle) || largest > innerWidth * innerHeight / 2;
  };
  const floats = e => {
    for (; e && e !== document.body; e = e.parentElement)
      if (['fixed', 'sticky'].includes(getComputedStyle(e).position)) return true;
    return false;
  };
  for (const rule of rules) {
    const root = all(rule.container).find(e =>
      [e, ...e.querySelectorAll('*')].some(shown) &&
      (!rule.about || (textOf(e).length < 5000 && matches(rule.about, textOf(e)) && (floats(e) || e.matches('dialog[open],[aria-modal=true]')))));
    if (!root) continue;
    const found = {rule: rule.name, action: '', button: '', text: textOf(root).slice(0, 2000), covers: covers(root), why: ''};
    if (matches(words.never, found.text) || root.querySelector('input[type=password]')) {
      found.why = 'it asks for more than consent';
      return found;
    }
    for (const action of ['reject', 'close', 'accept']) {
      const button = known(root, rule, action);
      if (!button) continue;
      if (action === 'accept' && !found.covers) {
        found.why = 'it only offers to accept, and keeps nothing from being seen';
        return found;
      }
      found.action = action;
      found.button = (label(button) || button.id).slice(0, 200);
      if (act) button.click();
      return found;
    }
    found.why = 'it has no button that a rule names';
    return found;
  }
  return null;
}
