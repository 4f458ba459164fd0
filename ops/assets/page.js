
"use strict";
(() => {
	const $ = id => document.getElementById(id);
	const SVG = "http://www.w3.org/2000/svg";

	// Everything that is shown is made here, of text and never of markup: names,
	// keys and errors come from whoever the program talks to.
	const make = (tag, attributes, ...children) => set(document.createElement(tag), attributes, ...children);
	const draw = (tag, attributes, ...children) => set(document.createElementNS(SVG, tag), attributes, ...children);
	function set(node, attributes, ...children) {
		for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
		node.append(...children);
		return node;
	}
	const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
	const attribute = (node, name, value) => { if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value); };

	// What is known, by id, and what was seen of it since this page is open.
	const known = { breakers: new Map(), budgets: new Map(), limits: new Map() };
	const shown = { breakers: new Map(), budgets: new Map(), limits: new Map() };
	const KEEP = 3600e3, SPACING = 2000; // milliseconds of samples, and between them
	let tables = null, writable = false, paused = false, range = 300e3, interval = 1000;
	let skew = 0, heard = 0, source = null, retry = 0, search = "";

	const now = () => Date.now() + skew; // the server's clock

	// Words.

	const number = n => n.toLocaleString("en", { maximumFractionDigits: 1 });
	const plural = (n, one, many) => number(n) + " " + (n === 1 ? one : many);
	const percent = share => (share < .1 ? number(100 * share) : Math.round(100 * share)) + " %";
	const clock = t => new Date(t - skew).toLocaleTimeString([], { hour12: false });
	function span(ms) {
		const s = Math.max(0, ms) / 1000;
		if (s > 0 && s < 1) return Math.ceil(1000 * s) + " ms";
		if (s < 10) return number(Math.floor(10 * s) / 10) + " s";
		if (s < 120) return Math.floor(s) + " s";
		if (s < 7200) return Math.floor(s / 60) + " min";
		if (s < 172800) return Math.floor(s / 3600) + " h";
		return Math.floor(s / 86400) + " days";
	}
	const ago = ms => (ms < 10e3 ? Math.floor(Math.max(0, ms) / 1000) + " s" : span(ms)) + " ago";
	function because(t) {
		const c = t.counts;
		switch (t.reason) {
			case "failure_ratio": return number(c.failures) + " of " + plural(c.calls, "call", "calls") + " failed";
			case "slow_ratio": return number(c.slow) + " of " + plural(c.calls, "call", "calls") + " were slow";
			case "consecutive": return plural(c.consecutive, "failure", "failures") + " in a row";
			case "probe_failed": return "a probe failed";
			case "probe_timeout": return "a probe hung";
			case "probes_succeeded": return "probes succeeded";
			case "cooldown": return "the cooldown is over";
			case "forced": return "forced " + t.to;
			case "reset": return "reset";
		}
		return t.reason;
	}
	function ruleOf(r) {
		const rules = [], window = " of the calls of the last " + span(1000 * r.window_seconds);
		if (r.failure_ratio > 0) rules.push(percent(r.failure_ratio) + window + " failed");
		if (r.slow_ratio > 0) rules.push(percent(r.slow_ratio) + window + " took " + span(1000 * r.slow_call_seconds) + " or longer");
		const ratios = rules.length ? ", of at least " + plural(r.min_calls, "call", "calls") : "";
		if (r.consecutive > 0) rules.push(plural(r.consecutive, "call", "calls") + " in a row failed");
		return "Opens when " + rules.join(", or ") + ratios + ".";
	}
	const label = row => row.key ? row.name + " " + row.key : row.name;
	const words = row => row.state + (row.forced ? ", forced" : "");

	// The timeline of a breaker: the pieces of time that it was in a state.

	function pieces(row, from, to) {
		const out = [];
		const add = (start, end, state, forced, title) => {
			if (end > from && start < to) out.push({ start: Math.max(start, from), end: Math.min(end, to), state, forced, title });
		};
		const all = row.transitions;
		if (!all.length) {
			add(from, to, row.generation ? "unknown" : "closed", false, "");
			return out;
		}
		const first = all[0];
		add(from, first.time, first.generation > 1 ? "unknown" : first.from, false, "");
		all.forEach((t, i) => {
			const end = i + 1 < all.length ? all[i + 1].time : to;
			const title = t.to + " since " + clock(t.time) + ": " + because(t) + (t.error ? "\n" + t.error : "");
			const cool = t.time + 1000 * t.cooldown_seconds;
			if (t.to === "open" && t.cooldown_seconds > 0 && cool < end) {
				add(t.time, cool, "open", false, title);
				add(cool, end, "half-open", false, "half-open since " + clock(cool) + ": waits for a call");
			} else {
				add(t.time, end, t.to, t.reason === "forced", title);
			}
		});
		return out;
	}
	const CLASS = { open: "open", "half-open": "half", closed: "closed", unknown: "unknown" };

	const WIDE = 1000, BAND = 12, TALL = 36; // of the drawing; the band is at the bottom

	function strip(box, row, samples) {
		const to = now(), from = to - range, x = t => WIDE * (t - from) / range;
		const svg = draw("svg", { viewBox: "0 0 " + WIDE + " " + TALL, preserveAspectRatio: "none", class: "strip", role: "img" });
		svg.append(draw("rect", { class: "track", x: 0, y: 0, width: WIDE, height: TALL }));
		curve(svg, samples, x, from, [
			{ name: "calls", value: s => s.calls, most: Math.max(1, ...samples.map(s => s.calls)) },
			{ name: "failures", value: s => s.ratio, most: 1, filled: true },
		], TALL - BAND);
		let opened = 0;
		for (const p of pieces(row, from, to)) {
			if (p.state === "open") opened++;
			// What lasts for less than a pixel or two is still to be seen.
			const width = Math.max(x(p.end) - x(p.start), p.state === "closed" ? 0 : 3);
			const rect = draw("rect", { class: CLASS[p.state], x: x(p.start), y: TALL - BAND, width, height: BAND });
			if (p.title) rect.append(draw("title", {}, p.title));
			svg.append(rect);
			if (p.forced) svg.append(draw("rect", { class: "mark", x: x(p.start), y: TALL - 4, width, height: 4 }));
		}
		attribute(svg, "aria-label", words(row) + "; " + (opened ? "opened " + plural(opened, "time", "times") : "not open") + " in the last " + span(range));
		box.replaceChildren(svg);
	}

	// curve draws what was sampled, with gaps where nobody looked, and where there
	// is nothing to fill.
	function curve(svg, samples, x, from, lines, high) {
		for (const line of lines) {
			let path = "", start = 0, last = null;
			const y = s => (high - (high - 3) * line.value(s) / line.most).toFixed(1);
			const end = () => { if (last && line.filled) path += "V" + high + "H" + start + "Z"; };
			for (const s of samples) {
				if (s.time < from) continue;
				const at = x(s.time).toFixed(1);
				if (!last || s.time - last.time > 5 * Math.max(interval, SPACING) || line.filled && !line.value(s) && !line.value(last)) {
					end();
					start = at;
					path += line.filled ? "M" + at + " " + high + "V" + y(s) : "M" + at + " " + y(s);
				} else {
					path += "L" + at + " " + y(s);
				}
				last = s;
			}
			end();
			if (path) svg.append(draw("path", { class: line.name, d: path }));
		}
	}

	function axis() {
		const parts = range === KEEP ? 4 : 5, labels = [];
		for (let i = parts; i > 0; i--) labels.push(make("span", {}, "−" + i * range / parts / 60e3 + " min"));
		$("axis").replaceChildren(make("div", {}, ...labels, make("span", {}, "now")));
	}

	// Rows. Each has its elements made once, and a function that shows a row in them.

	const seen = new IntersectionObserver(entries => {
		for (const e of entries) {
			const row = shown[e.target.dataset.kind].get(e.target.dataset.id);
			if (row) { row.visible = e.isIntersecting; if (row.visible) row.draw(); }
		}
	}, { rootMargin: "200px" });

	function circuit(id) {
		const state = make("span"), detail = make("small"), pill = make("span", { class: "pill" }, state, detail);
		const name = make("b"), key = make("bdi"), of = make("span", { class: "of" }, key);
		const box = make("div", { class: "strip-box" });
		const share = make("b"), rest = make("span"), fill = make("i"), mark = make("u");
		const meter = make("div", { class: "meter" }, fill, mark);
		const past = make("div", { class: "past", id: "past-" + id }), why = make("p", { class: "why" });
		past.hidden = true;
		const more = make("button", { type: "button", "aria-expanded": "false", "aria-controls": past.id }, "History");
		const act = make("button", { type: "button", class: "act" }, "Control …");
		const item = make("li", { "data-id": id, "data-kind": "breakers" },
			make("div", { class: "line" }, pill, make("div", { class: "who" }, make("bdi", {}, name), of), box,
				make("div", { class: "ratio" }, share, " ", rest, meter), make("div", { class: "does" }, more, act)),
			why, past);
		const self = { item, visible: true, generation: -1, draw() { strip(box, known.breakers.get(id), known.breakers.get(id).samples); } };
		more.addEventListener("click", () => {
			past.hidden = !past.hidden;
			attribute(more, "aria-expanded", !past.hidden);
			self.generation = -1;
			self.show(known.breakers.get(id));
		});
		act.addEventListener("click", () => control(known.breakers.get(id)));
		self.show = row => {
			attribute(item, "data-state", row.state);
			attribute(item, "data-forced", row.forced);
			attribute(pill, "data-state", row.state);
			text(state, { open: "✕ open", "half-open": "◐ half-open", closed: "✓ closed" }[row.state] || row.state);
			text(detail, row.forced ? "forced" : row.shadow ? "shadow" : row.shared && row.state === "closed" ? "shared" : row.state === "open" && row.until ? "probe in " + span(Math.ceil((row.until - now()) / 100) * 100) : "");
			text(name, row.name);
			text(key, row.key);
			attribute(more, "aria-label", "History of " + label(row));
			attribute(act, "aria-label", "Control " + label(row));
			act.hidden = !writable;
			ratio(row, share, rest, meter, fill, mark);
			explain(why, row);
			if (!past.hidden && self.generation !== row.generation) {
				history(past, row);
				self.generation = row.generation;
			}
			if (self.visible) self.draw();
		};
		return self;
	}

	function ratio(row, share, rest, meter, fill, mark) {
		const c = row.counts, r = row.rule;
		const slow = r.slow_ratio > 0 && (r.failure_ratio === 0 || c.slow_ratio / r.slow_ratio > c.failure_ratio / r.failure_ratio);
		const value = slow ? c.slow_ratio : c.failure_ratio, limit = slow ? r.slow_ratio : r.failure_ratio;
		meter.hidden = row.state !== "closed" || row.forced;
		if (row.state !== "closed" || row.forced) {
			text(share, "");
			text(rest, row.forced && row.state === "closed" ? "counts nothing" : row.state === "open" ? "refuses calls" : "lets probes pass");
			if (row.shadow && row.state !== "closed") text(rest, "would refuse calls");
			if (row.shared && row.state === "open") text(rest, "refuses calls, of all processes that share it");
			return;
		}
		if (limit === 0) {
			text(share, number(c.consecutive) + " of " + number(r.consecutive));
			text(rest, "failures in a row");
			fill.style.width = 100 * Math.min(1, c.consecutive / r.consecutive) + "%";
			mark.hidden = true;
			return;
		}
		text(share, percent(value));
		text(rest, (slow ? "slow" : "failed") + " of " + plural(c.calls, "call", "calls"));
		fill.style.width = 100 * value + "%";
		mark.hidden = false;
		mark.style.left = 100 * limit + "%";
		attribute(meter, "title", ruleOf(r));
	}

	// explain tells why the circuit opened, while that matters: what broke it, not
	// only that probes have failed since.
	function explain(why, row) {
		const all = row.transitions, last = all.at(-1);
		const latest = all.findLast(t => t.to === "open");
		if (!latest || row.state === "closed" && now() - last.time > KEEP) {
			why.replaceChildren();
			why.shown = "";
			return;
		}
		const root = all.findLast(t => t.to === "open" && (t.from === "closed" || t.reason === "forced")) || latest;
		const closed = row.state === "closed" && last.to === "closed" ? ", closed " + ago(now() - last.time) : "";
		const when = (closed ? "Last opened " : "Opened ") + ago(now() - root.time) + closed + ": ";
		if (why.shown === row.generation) {
			text(why.firstChild, when);
			return;
		}
		why.shown = row.generation;
		const failed = all.filter(t => t.time > root.time && (t.reason === "probe_failed" || t.reason === "probe_timeout")).length;
		why.replaceChildren(make("span", {}, when), make("b", {}, because(root)), failed ? ", then " + plural(failed, "probe", "probes") + " failed" : "");
		if (latest.trace_id) why.append(" · trace ", trace(latest));
		if (latest.error) why.append(" · ", make("code", { class: "error", title: latest.error }, make("bdi", {}, latest.error)));
	}
	function trace(t) {
		const id = make("code", {}, t.trace_id);
		return t.trace_url ? make("a", { href: t.trace_url, target: "_blank", rel: "noreferrer" }, id) : id;
	}
	function history(past, row) {
		const body = make("tbody");
		for (const t of row.transitions.toReversed()) {
			const error = make("td", { class: "error" });
			if (t.error) error.append(make("code", {}, make("bdi", {}, t.error)));
			if (t.trace_id) error.append(t.error ? " · trace " : "trace ", trace(t));
			body.append(make("tr", {}, make("td", {}, clock(t.time)), make("td", {}, t.from + " → " + t.to), make("td", {}, because(t)),
				make("td", {}, t.cooldown_seconds ? "for " + span(1000 * t.cooldown_seconds) : ""), error));
		}
		const head = make("tr", {}, ...["Time", "Change", "Reason", "Cooldown", "Error"].map(h => make("th", { scope: "col" }, h)));
		past.replaceChildren(make("p", {}, ruleOf(row.rule)), row.transitions.length ?
			make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "State changes of " + label(row) }, make("table", {}, make("thead", {}, head), body)) :
			make("p", {}, "It has not changed its state."));
	}

	// card is a budget or a limit.
	function card(kind, id, show) {
		const name = make("b"), key = make("bdi"), of = make("span", { class: "of" }, key), value = make("b"), unit = make("span");
		const fill = make("i"), meter = make("div", { class: "meter" }, fill), box = make("div"), note = make("p", { class: "note" });
		const item = make("li", { "data-id": id, "data-kind": kind },
			make("div", { class: "top" }, make("div", { class: "who" }, make("bdi", {}, name)), make("div", { class: "value" }, value, unit)),
			make("div", { class: "who" }, of), meter, box, note);
		const self = { item, visible: true };
		self.draw = () => {
			const row = known[kind].get(id);
			const to = now(), from = to - range, x = t => WIDE * (t - from) / range;
			const svg = draw("svg", { viewBox: "0 0 " + WIDE + " 26", preserveAspectRatio: "none", class: "strip", "aria-hidden": "true" });
			svg.append(draw("rect", { class: "track", x: 0, y: 0, width: WIDE, height: 26 }));
			const most = Math.max(1, ...row.samples.flatMap(s => [s.amount, s.limit]));
			curve(svg, row.samples, x, from, [
				{ name: "amount", value: s => s.amount, most, filled: true }, { name: "limit", value: s => s.limit, most }], 26);
			box.replaceChildren(svg);
		};
		self.show = row => {
			text(name, row.name || { budgets: "budget", limits: "limit" }[kind]);
			text(key, row.key);
			const v = show(row);
			text(value, v.value);
			text(unit, v.unit);
			text(note, v.note);
			fill.style.width = 100 * Math.min(1, v.share) + "%";
			attribute(item, "data-short", v.short);
			if (self.visible) self.draw();
		};
		return self;
	}
	const makers = {
		breakers: circuit,
		budgets: id => card("budgets", id, b => ({
			value: number(Math.floor(10 * b.balance) / 10), unit: " of " + plural(b.burst, "retry", "retries"), share: b.balance / b.burst, short: b.balance < 1,
			note: (b.balance < 1 ? "Empty: failed calls are " + (b.min_per_second ? "hardly" : "not") + " repeated. " : "") + "Each success pays for " + number(b.ratio) + " retries" +
				(b.min_per_second ? "; " + number(b.min_per_second) + " a second are free" : ""),
		})),
		limits: id => card("limits", id, l => ({
			value: number(l.in_flight), unit: " of " + number(l.current) + " in flight", share: l.in_flight / Math.max(1, l.current), short: l.waiting > 0 || l.in_flight >= l.current,
			note: l.waiting ? plural(l.waiting, "call waits", "calls wait") : "Nobody waits",
		})),
	};
	const order = {
		breakers: (a, b) => b.trouble - a.trouble || compare(a, b),
		budgets: (a, b) => Math.floor(2 * a.balance / a.burst) - Math.floor(2 * b.balance / b.burst) || compare(a, b),
		limits: (a, b) => full(b) - full(a) || compare(a, b),
	};
	const full = l => Number(l.waiting > 0 || l.in_flight >= l.current);
	const less = (a, b) => a < b ? -1 : a > b ? 1 : 0;
	const compare = (a, b) => less(a.name, b.name) || less(a.key, b.key) || less(a.id, b.id);
	const lists = { breakers: $("circuits"), budgets: $("budgets"), limits: $("limits") };

	function render() {
		if (!tables) return;
		renderTiles();
		for (const kind of Object.keys(known)) renderList(kind);
		document.body.classList.toggle("writable", writable);
		$("mode").hidden = writable;
		document.documentElement.dataset.ready = "true";
	}
	function renderTiles() {
		const b = tables.breakers, tiles = [
			["open", b.open, "open"], ["half", b.half_open, "half-open"], ["forced", b.forced, "forced"], ["", b.closed, "closed"],
		];
		if (tables.limits.total) tiles.push([tables.limits.full ? "half" : "", tables.limits.full, "limits full"]);
		if (tables.budgets.total) tiles.push([tables.budgets.empty ? "open" : "", tables.budgets.empty, "budgets empty"]);
		const list = $("tiles");
		while (list.children.length > tiles.length) list.lastChild.remove();
		tiles.forEach(([name, n, what], i) => {
			const tile = list.children[i] || list.appendChild(make("li", {}, make("b"), make("span")));
			attribute(tile, "class", n ? name : "");
			text(tile.firstChild, number(n));
			text(tile.lastChild, what);
		});
	}
	function renderList(kind) {
		const list = lists[kind], rows = [...known[kind].values()].sort(order[kind]), table = tables[kind];
		for (const [id, row] of shown[kind]) {
			if (known[kind].has(id)) continue;
			seen.unobserve(row.item);
			row.item.remove();
			shown[kind].delete(id);
		}
		list.querySelector(".nothing")?.remove();
		rows.forEach((row, i) => {
			let it = shown[kind].get(row.id);
			if (!it) {
				it = makers[kind](row.id);
				shown[kind].set(row.id, it);
				seen.observe(it.item);
			}
			const there = list.children[i];
			if (there !== it.item) {
				if (it.item.isConnected && list.moveBefore) list.moveBefore(it.item, there || null); // keeps the focus
				else list.insertBefore(it.item, there || null);
			}
			it.show(row);
		});
		text($(kind + "-hidden"), table.hidden ? "The " + number(rows.length) + " most troubled of " + number(table.matching) + ". Search for others." :
			search && table.total ? number(table.matching) + " of " + number(table.total) + " match" : "");
		if (kind !== "breakers") $(kind + "-section").hidden = !table.total;
		if (!rows.length) list.append(make("li", { class: "nothing" }, search ? "Nothing matches." :
			"There is none yet. A group has one for each key, from the first call on."));
	}

	// News.

	function accept(kind, rows, whole, at) {
		const ids = whole && new Set(rows.map(r => r.id));
		if (whole) for (const id of known[kind].keys()) if (!ids.has(id)) known[kind].delete(id);
		for (const row of rows) {
			const old = known[kind].get(row.id);
			row.samples = old ? old.samples : [];
			if (kind === "breakers") {
				row.transitions = row.transitions || (old && old.generation === row.generation ? old.transitions : []);
				for (const t of row.transitions) t.time = Date.parse(t.at);
				if (old) row.transitions = joined(old.transitions, row.transitions);
				row.until = row.until && Date.parse(row.until);
			}
			known[kind].set(row.id, row);
			if (old && kind === "breakers" && (old.state !== row.state || old.forced !== row.forced)) changes.push(label(row) + " is " + words(row));
		}
		for (const row of known[kind].values()) {
			const all = row.samples, last = all.at(-1);
			if (last && at - last.time < SPACING) continue;
			all.push(kind === "breakers" ? { time: at, calls: row.counts.calls, ratio: row.counts.failure_ratio } :
				kind === "budgets" ? { time: at, amount: row.balance, limit: row.burst } : { time: at, amount: row.in_flight, limit: row.current });
			while (all.length && at - all[0].time > KEEP) all.shift();
		}
	}
	let changes = [];

	// joined keeps what the breaker itself no longer remembers, while this page is open.
	function joined(old, all) {
		const before = all.length ? old.filter(t => t.generation < all[0].generation) : [];
		return before.length && before.at(-1).generation === all[0].generation - 1 ? [...before, ...all].slice(-200) : all;
	}

	function hear(message, whole) {
		const at = Date.parse(message.at);
		heard = performance.now();
		skew = at - Date.now();
		interval = 1000 * message.interval_seconds;
		writable = message.writable;
		tables = message;
		for (const id of message.gone || []) for (const kind of Object.keys(known)) known[kind].delete(id);
		for (const kind of Object.keys(known)) accept(kind, message[kind].rows, whole, at);
		text($("name"), message.name || "Live view");
		document.title = (message.breakers.open ? "(" + message.breakers.open + " open) " : "") + (message.name ? message.name + " – " : "") + "Redoubt";
		if (changes.length) text($("news"), changes.length > 3 ? changes.length + " breakers changed their state" : changes.join(", "));
		changes = [];
		if (!paused) render();
		status();
	}

	function status() {
		const quiet = performance.now() - heard, lost = !heard || quiet > 3 * interval + 5000;
		attribute($("link"), "data-link", paused ? "wait" : !heard ? "wait" : lost ? "lost" : "live");
		text($("link-text"), paused ? "Paused" : !heard ? "Connecting …" : lost ? "No news for " + span(quiet) : "Live · " + clock(now()));
	}

	const query = () => search ? "?q=" + encodeURIComponent(search) : "";

	function connect() {
		clearTimeout(retry);
		if (source) source.close();
		source = new EventSource("events" + query());
		source.addEventListener("state", e => { notice(""); hear(JSON.parse(e.data), true); });
		source.addEventListener("change", e => hear(JSON.parse(e.data), false));
		source.addEventListener("error", () => {
			if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
			retry = setTimeout(poll, 1000);
		});
	}

	// poll asks once, where there are too many who watch, and then tries to watch.
	async function poll() {
		try {
			const answer = await fetch("state" + query());
			if (!answer.ok) throw new Error(String(answer.status));
			hear(await answer.json(), true);
			notice("Too many are watching: this is told every few seconds.");
		} catch {
			notice("The server does not answer.");
		}
		retry = setTimeout(connect, 4000);
	}
	function notice(words) {
		$("notice").hidden = !words;
		text($("notice"), words);
	}

	// Control.

	let target = null;
	function control(row) {
		target = row.id;
		text($("control-title"), label(row));
		text($("control-state"), "It is " + words(row) + "." + (row.shared ? " Other processes share it: a reset is for all of them." : ""));
		for (const button of $("control").querySelectorAll('button[type="button"]')) button.hidden = row.shared && button.value !== "reset";
		text($("control-error"), "");
		$("control").showModal();
	}
	for (const button of $("control").querySelectorAll('button[type="button"]')) {
		button.addEventListener("click", async () => {
			const buttons = $("control").querySelectorAll('button[type="button"]');
			buttons.forEach(b => { b.disabled = true; });
			try {
				const answer = await fetch("control", {
					method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ id: target, action: button.value }),
				});
				const told = await answer.json();
				if (!answer.ok) throw new Error(told.error);
				$("control").close();
				if (known.breakers.has(target)) accept("breakers", [told.breaker], false, now());
				render();
			} catch (e) {
				text($("control-error"), "That did not work: " + e.message + ".");
			}
			buttons.forEach(b => { b.disabled = false; });
		});
	}

	// Tools.

	let typing = 0;
	$("search").addEventListener("input", () => {
		clearTimeout(typing);
		typing = setTimeout(() => { search = $("search").value.trim(); connect(); }, 250);
	});
	$("tools").addEventListener("submit", e => e.preventDefault());
	$("tools").addEventListener("change", e => {
		if (e.target.name !== "range") return;
		range = 1000 * Number(e.target.value);
		axis();
		render();
	});
	$("pause").addEventListener("click", () => {
		paused = !paused;
		attribute($("pause"), "aria-pressed", paused);
		if (!paused) render();
		status();
	});
	document.addEventListener("visibilitychange", () => {
		if (document.hidden) { clearTimeout(retry); source.close(); } else connect();
	});
	setInterval(status, 1000);
	axis();
	connect();
})();
