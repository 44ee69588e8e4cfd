// Scroll to the end, a screen at a time, so that what loads lazily is asked for; then back to the top.
async ([steps, pause]) => {
  for (let step = 1; step <= steps; step++) {
    scrollTo({top: step * innerHeight, behavior: 'instant'});
    await new Promise(done => setTimeout(done, pause));
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 1) break;
  }
  scrollTo({top: 0, behavior: 'instant'});
}
