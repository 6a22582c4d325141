"use strict";

const at = (id) => document.getElementById(id);
const show = (id, text) => { at(id).textContent = text; };
const LOST = "Disconnected: this agent is no longer yours, or it is restarting.";
const ENDED = "The session has ended. Open the agent again from the console.";
const RETRY_MIN_MS = 1000, RETRY_MAX_MS = 30000, LOG_MAX = 500;

let socket = null, clock = null, retryMs = RETRY_MIN_MS, boot = null;

function connection(state, text) {
	at("connection").dataset.state = state;
	show("connection", text);
	at("send").disabled = at("save").disabled = state !== "connected";
}

function log(who, text) {
	const line = document.createElement("li");
	line.className = who;
	line.textContent = `${who}: ${text}`;
	at("log").append(line);
	while (at("log").children.length > LOG_MAX)
		at("log").firstChild.remove();
	line.scrollIntoView({block: "nearest"});
}

// A WebSocket does not say why it was refused; a plain request does.
async function ask(path, options) {
	const answer = await fetch(path, {cache: "no-store", ...options});
	if (answer.status === 401 || answer.status === 403)
		throw Object.assign(new Error(ENDED), {ended: true});
	if (!answer.ok)
		throw new Error(`${answer.status} ${answer.statusText}`);
	return answer;
}

function showStatus(status) {
	show("started", String(status.started_at));
	show("boot", String(status.boot));
	const names = status.providers.map((name) => {
		const item = document.createElement("li");
		item.textContent = String(name);
		return item;
	});
	at("providers").replaceChildren(...names);
	if (!names.length)
		show("providers", "none");
}

function runClock() {
	clock = new EventSource("/clock");
	clock.onmessage = (event) => show("clock", event.data);
}

function lost(text, ended) {
	socket = null;
	clock?.close();
	clock = null;
	show("clock", "–");
	if (ended)
		return connection("ended", ENDED);
	connection("disconnected", `${LOST}${text ? ` (${text})` : ""} Trying again…`);
	setTimeout(connect, retryMs * (0.75 + Math.random() / 2));
	retryMs = Math.min(2 * retryMs, RETRY_MAX_MS);
}

async function connect() {
	try {
		const status = await (await ask("/status")).json();
		showStatus(status);
		if (boot !== status.boot)
			at("memory").value = await (await ask("/memory")).text();
		boot = status.boot;
	} catch (error) {
		return lost(error.ended ? "" : error.message, error.ended);
	}
	const scheme = location.protocol === "https:" ? "wss:" : "ws:";
	socket = new WebSocket(`${scheme}//${location.host}/ws`);
	socket.onopen = () => {
		retryMs = RETRY_MIN_MS;
		connection("connected", "Connected.");
		runClock();
	};
	socket.onmessage = (event) => log("agent", String(event.data));
	socket.onclose = () => lost("", false);
}

at("chat").onsubmit = (event) => {
	event.preventDefault();
	const text = at("message").value;
	if (!text || socket?.readyState !== WebSocket.OPEN)
		return;
	socket.send(text);
	log("you", text);
	at("message").value = "";
};

at("notes").onsubmit = async (event) => {
	event.preventDefault();
	try {
		await ask("/memory", {method: "PUT", body: at("memory").value});
		show("saved", "Saved.");
	} catch (error) {
		show("saved", `Not saved: ${error.message}`);
	}
};

connection("connecting", "Connecting…");
connect();
