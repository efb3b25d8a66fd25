// Keeps the newest text visible, unless the reader has scrolled up; then a button leads back.

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

  /** Call when a reply has grown: a reader further up gets the button and is not scrolled. */
  grew() {
    if (!this.follows) this.button.hidden = false;
  }

  /** Call before older turns are inserted above, and the returned function afterwards: the view stays. */
  holdPlace() {
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    return () => (this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const left = scrollHeight - clientHeight - scrollTop;
    // The slightest scroll up stops following; scrolling near the end starts it again.
    this.follows = left < (scrollTop < this.lastTop ? 2 : NEAR);
    this.lastTop = scrollTop;
    if (this.follows) this.button.hidden = true;
  }
}
