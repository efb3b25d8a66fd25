// Keeps the newest text in sight, unless the reader has scrolled up; then a button leads back.

const NEAR = 48;

export class Follower {
  constructor(scroller, button) {
    this.scroller = scroller;
    this.button = button;
    this.follows = true;
    this.lastTop = scroller.scrollTop;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    const observer = new ResizeObserver(() => this.follows && this.toBottom());
    observer.observe(scroller);
    observer.observe(scroller.firstElementChild);
  }

  toBottom() {
    this.follows = true;
    this.button.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Call when a reply has grown: who reads further up is told, not moved. */
  grew() {
    if (!this.follows) this.button.hidden = false;
  }

  /** Older turns are about to come in above; call what is returned when they have. */
  holdPlace() {
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    return () => (this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const left = scrollHeight - clientHeight - scrollTop;
    // The slightest scroll up lets go; coming near the end takes hold again.
    this.follows = left < (scrollTop < this.lastTop ? 2 : NEAR);
    this.lastTop = scrollTop;
    if (this.follows) this.button.hidden = true;
  }
}
