// Stop what plays in the frame; say how many had to be, and whether any of it has bytes still to come.
() => {
  globalThis.akashiStop?.();
  const deep = root => [
    ...root.querySelectorAll('video,audio'),
    ...[...root.querySelectorAll('*')].filter(e => e.shadowRoot).flatMap(e => deep(e.shadowRoot)),
  ];
  const whole = v => v.buffered.length > 0 && v.buffered.end(v.buffered.length - 1) >= v.duration - 0.3;
  const media = deep(document), playing = media.filter(v => !v.paused);
  playing.forEach(v => v.pause());
  const open = media.some(v => v.currentSrc && !v.error && v.networkState === HTMLMediaElement.NETWORK_LOADING);
  return {paused: playing.length, open: open || playing.some(v => !whole(v))};
}
