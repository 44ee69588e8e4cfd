// Start the frame's largest video, muted, and wait until it has all of its bytes, fails, or is stopped.
async (milliseconds, buttons, label) => {
  const deep = (selector, root = document) => [
    ...root.querySelectorAll(selector),
    ...[...root.querySelectorAll('*')].filter(e => e.shadowRoot).flatMap(e => deep(selector, e.shadowRoot)),
  ];
  const area = e => e.getBoundingClientRect().width * e.getBoundingClientRect().height;
  const sourced = v => v.currentSrc || v.srcObject || v.querySelector('source[src]');
  const largest = () => deep('video').filter(v => area(v) >= 10000 && v.checkVisibility()).sort((a, b) => area(b) - area(a))[0];
  const pause = ms => new Promise(done => setTimeout(done, ms));
  const end = performance.now() + milliseconds;
  let stopped = false, error = '';
  globalThis.akashiStop = () => { stopped = true; };

  let video = largest(), pressed = '';
  if (!video || !sourced(video)) {  // some players have nothing to play before their button is pressed
    const named = e => new RegExp(label, 'iu').test(e.getAttribute('aria-label') || e.title || e.innerText || '');
    const button = deep(buttons).find(e => e.checkVisibility() && area(e) >= 400) ||
      deep('button,[role=button]').find(e => e.checkVisibility() && area(e) >= 400 && named(e));
    if (!button) return video ? {started: false, pressed, why: 'it has no source'} : null;
    pressed = `${button.getAttribute('aria-label') || button.className || button.innerText}`.slice(0, 200);
    button.click();
    const late = Math.min(end, performance.now() + 1500);
    while (!stopped && performance.now() < late && !((video = largest()) && sourced(video))) await pause(50);
    if (!video) return {started: false, pressed, why: 'no video came'};
  }
  video.muted = true;
  video.play().catch(reason => { error = reason.name; });
  const whole = v => v.ended || (v.buffered.length > 0 && v.buffered.end(v.buffered.length - 1) >= v.duration - 0.3);
  while (!stopped && !error && performance.now() < end && !(whole(video) && video.currentTime > 0)) await pause(25);
  error ||= video.error ? `MediaError ${video.error.code}` : '';
  return {started: video.currentTime > 0, pressed, why: error, whole: whole(video), at: Math.round(video.currentTime * 1000)};
}
