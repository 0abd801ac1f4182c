// The dashboard: signs in, follows the feed, and shows what it says. Each of these has its module; this one only
// joins them.

import { Board } from "./board.js";
import { Connection } from "./connection.js";
import { byId, set } from "./dom.js";
import { Feed } from "./feed.js";
import { Orders } from "./orders.js";
import { Session } from "./session.js";
import { offerFullScreen } from "./wall.js";

const LOOK_BACK_EVENTS = 200;
const REFUSED = { forbidden: "The live figures are for the shop's staff. This account may not see them." };

const session = new Session();
const board = new Board();
const orders = new Orders();
const connection = new Connection();
let feed = null;

function show(signedIn) {
  for (const id of ["sign-in", "tide"]) {
    byId(id).toggleAttribute("hidden", signedIn);
  }
  for (const id of ["board", "tools", "seq-box"]) {
    byId(id).toggleAttribute("hidden", !signedIn);
  }
}

function follow() {
  show(true);
  feed = new Feed({
    topic: "orders",
    lookBack: LOOK_BACK_EVENTS,
    token: () => session.token(),
    onEvents: (events) => orders.happened(events),
    onStats: (stats) => {
      connection.figuresCame();
      board.counted(stats);
    },
    onSeq: (seq) => orders.reached(seq),
    onAnew: () => orders.clear(),
    onState: (state) => connection.is(state),
    onRefused: (why, detail) => signOut(REFUSED[why] ?? detail),
  });
  feed.open();
}

async function signOut(why = "") {
  feed?.close();
  feed = null;
  orders.clear();
  connection.is("off");
  show(false);
  set("sign-in-failure", why);
  byId("username").focus();
  await session.signOut();
}

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  set("sign-in-failure", "");
  try {
    await session.signIn(byId("username").value, byId("password").value);
    byId("password").value = "";
    follow();
    byId("main").focus({ preventScroll: true });
  } catch (error) {
    set("sign-in-failure", error.message);
    byId("password").focus();
  }
});

byId("sign-out").addEventListener("click", () => signOut());
offerFullScreen(byId("full-screen"));

if (session.remembered) {
  follow();
} else {
  show(false);
  byId("username").focus();
}
