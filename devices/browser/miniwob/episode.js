// Start one seeded episode of a MiniWoB++ page and return its goal.

const STYLE =
  // The page is wider than its 160 pixels because of the score and the click trace beside it, and the
  // START cover would hide the last screen.
  'html, body { overflow: hidden !important }' +
  '#reward-display, #click-canvas, #sync-task-cover { display: none !important }';

if (typeof core === 'undefined' || typeof genProblem !== 'function') {
  throw new Error('this is no MiniWoB++ page');
}
if (!document.getElementById('episode-style')) {
  const style = document.createElement('style');
  style.id = 'episode-style';
  style.textContent = STYLE;
  document.head.appendChild(style);
}
if (window.jQuery) jQuery.fx.off = true; // A fading widget swallows clicks.
if (document.activeElement) document.activeElement.blur();
core.EPISODE_MAX_TIME = 1e7; // By default ten seconds of wall clock end the episode with -1.
Math.seedrandom(String(argument.seed));
core.startEpisodeReal();
window.episodeToken = argument.token;
const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const ready = async () => {
  do await drawn();
  while (!WOB_TASK_READY);
  const goal = core.getUtterance();
  return typeof goal === 'string' ? goal : goal.utterance;
};
return ready();
