// Who is signed in. The access token lives in memory; the refresh token in this tab's storage, so that a reload, or a
// night on the wall, does not ask for the password again.

const KEY = "tidegate.refresh";
const RENEW_BEFORE_MS = 60_000;

export class SignInFailed extends Error {}

export class Session {
  #access = null;
  #validUntil = 0;
  #renewing = null;

  get remembered() {
    return sessionStorage.getItem(KEY) !== null;
  }

  async signIn(username, password) {
    const body = new URLSearchParams({ grant_type: "password", username, password });
    this.#keep(await this.#ask("/api/auth/token", { method: "POST", body }));
  }

  // A valid access token. Throws SignInFailed when only a new sign-in helps, and anything else when a retry may.
  async token() {
    if (this.#access === null || Date.now() > this.#validUntil - RENEW_BEFORE_MS) {
      this.#renewing ??= this.#renew().finally(() => { this.#renewing = null; });
      await this.#renewing;
    }
    return this.#access;
  }

  async signOut() {
    const refresh_token = sessionStorage.getItem(KEY);
    this.forget();
    if (refresh_token !== null) {
      await this.#post("/api/auth/logout", { refresh_token }).catch(() => {});
    }
  }

  forget() {
    this.#access = null;
    sessionStorage.removeItem(KEY);
  }

  async #renew() {
    const refresh_token = sessionStorage.getItem(KEY);
    if (refresh_token === null) {
      throw new SignInFailed("Please sign in.");
    }
    this.#keep(await this.#post("/api/auth/refresh", { refresh_token }));
  }

  #post(path, said) {
    return this.#ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) });
  }

  async #ask(path, options) {
    const answer = await fetch(path, { ...options, headers: { ...options.headers, Accept: "application/json" } });
    if (answer.ok) {
      return answer.status === 204 ? null : answer.json();
    }
    const problem = await answer.json().catch(() => ({ detail: `The gateway answered ${answer.status}.` }));
    throw answer.status < 500 && answer.status !== 429 ? new SignInFailed(problem.detail) : new Error(problem.detail);
  }

  #keep(tokens) {
    this.#access = tokens.access_token;
    this.#validUntil = Date.now() + tokens.expires_in * 1000;
    sessionStorage.setItem(KEY, tokens.refresh_token);
  }
}
