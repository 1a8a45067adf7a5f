/** Numbers of which only the quantiles are of interest, kept so that a hundred thousand a second cost little. */
export class Samples {
  #values = new Float64Array(65_536);
  #count = 0;

  add(value) {
    if (this.#count === this.#values.length) {
      const twice = new Float64Array(this.#count * 2);
      twice.set(this.#values);
      this.#values = twice;
    }
    this.#values[this.#count++] = value;
  }

  /** The value that `share` of all do not exceed; null when there are none. Sorts, so not while anything is timed. */
  quantile(share) {
    if (this.#count === 0) return null;
    const all = this.#values.subarray(0, this.#count).sort();
    return all[Math.min(this.#count - 1, Math.floor(share * this.#count))];
  }
}
