"use strict";
(() => {
	const style = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
	const clientColor = i => style("c" + i % 6);
	const outcomeColor = key => style(/^\d/.test(key) ? "s" + key : key) || style("other");
	const font = "12px system-ui, sans-serif";

	const round = (v, n) => Number(v.toFixed(n));
	const plain = v => v == null ? "–" : String(round(v, v < 10 ? 2 : v < 100 ? 1 : 0));
	const ms = v => {
		if (v == null) return "–";
		if (v < 1) return round(v * 1000, 0) + " µs";
		return v < 1000 ? round(v, v < 10 ? 1 : 0) + " ms" : round(v / 1000, 2) + " s";
	};
	const share = nines => {
		const p = 100 * (1 - Math.pow(10, -nines));
		return round(p, Math.max(0, Math.ceil(nines) - 2) + (nines % 1 ? 1 : 0)) + " %";
	};

	// shading paints when faults can strike: beneath the lines, or as an outline
	// over bands that would hide it. The names stand above.
	const shading = (run, outline) => u => {
		const { ctx, bbox } = u, names = new Map(), px = devicePixelRatio;
		ctx.save();
		ctx.beginPath();
		ctx.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
		ctx.clip();
		(run.faults || []).forEach(fault => (fault.spans || []).forEach(([from, to], n) => {
			const x = u.valToPos(from, "x", true), end = u.valToPos(to, "x", true);
			if (end < bbox.left || x > bbox.left + bbox.width) return;
			if (outline) {
				ctx.strokeStyle = style("shade-text");
				ctx.lineWidth = px;
				ctx.setLineDash([4 * px, 3 * px]);
				ctx.strokeRect(x, bbox.top, end - x, bbox.height);
			} else {
				ctx.fillStyle = `rgba(${style("shade")}, ${0.06 + 0.08 * fault.chance})`;
				ctx.fillRect(x, bbox.top, end - x, bbox.height);
			}
			if (!n) names.set(x, [...(names.get(x) || []), fault.name]);
		}));
		ctx.fillStyle = style("shade-text");
		ctx.font = 11 * px + "px system-ui, sans-serif";
		ctx.textAlign = "left";
		ctx.textBaseline = "bottom";
		names.forEach((list, x) => ctx.fillText([...new Set(list)].join(" + "), Math.max(x, bbox.left) + px, bbox.top - 2 * px));
		ctx.restore();
	};

	const axis = (more = {}) => ({
		stroke: style("soft"), font, grid: { stroke: style("grid"), width: 1 }, ticks: { stroke: style("grid"), width: 1, size: 4 }, ...more,
	});
	const line = (label, stroke, more = {}) => ({
		label, stroke, width: 1.75, points: { show: false }, value: (u, v) => plain(v), ...more,
	});
	const seconds = { label: "at", value: (u, v) => v == null ? "–" : round(v, 1) + " s" };

	// overTime makes the options that all plots with a time axis share.
	const overTime = (run, key, series, more = {}) => ({
		height: 185,
		padding: [18, 12, 0, 0],
		scales: { x: { time: false, range: (u, min, max) => u.zoomed ? [min, max] : [0, run.duration] }, y: { range: (u, min, max) => [0, Math.max(max * 1.08, 1)] }, ...more.scales },
		series: [seconds, ...series],
		axes: [axis({ size: 30, values: (u, v) => v.map(x => x + " s") }), axis({ size: 52, ...more.y })],
		cursor: { sync: { key, scales: ["x", null] }, points: { size: 6 }, drag: { x: true, y: false }, ...more.cursor },
		legend: { live: true },
		bands: more.bands,
		hooks: { drawClear: [shading(run)], setSelect: [u => { u.zoomed = u.select.width > 0; }], ...more.hooks },
	});

	const decades = (min, max) => {
		const all = [];
		for (let e = Math.round(Math.log10(min)); e <= Math.round(Math.log10(max)); e++) all.push(Math.pow(10, e));
		return all;
	};
	const logarithmic = {
		scales: { y: { distr: 3, range: (u, min, max) => min == null ? [1, 1000] : [Math.pow(10, Math.floor(Math.log10(min))), Math.pow(10, Math.ceil(Math.log10(max * 1.01)))] } },
		y: { values: (u, v) => v.map(x => x == null ? "" : ms(x)), splits: (u, i, min, max) => decades(min, max), space: 14 },
	};

	const perClient = (run, key, field, has = c => c[field], more) => {
		const lines = run.clients.map((c, i) => [c, i]).filter(([c]) => has(c));
		return {
			options: overTime(run, key, lines.map(([c, i]) => line(c.name, clientColor(i))), more),
			data: [run.x, ...lines.map(([c]) => c[field])],
		};
	};

	const latency = (run, key, p50, p99) => {
		const series = [], data = [run.coarse_x];
		run.clients.forEach((c, i) => {
			const more = { value: (u, v) => ms(v), points: { show: true, size: 4 } };
			series.push(line(c.name + " p99", clientColor(i), more), line(c.name + " p50", clientColor(i), { ...more, dash: [3, 4] }));
			data.push(c[p99], c[p50]);
		});
		const positive = values => values.map(v => v > 0 ? v : v == null ? null : 0.001);
		return { options: overTime(run, key, series, logarithmic), data: [data[0], ...data.slice(1).map(positive)] };
	};

	const makers = {
		goodput: (run, key) => {
			const p = perClient(run, key, "goodput");
			p.options.series.splice(1, 0, line("offered", style("offered"), { dash: [5, 4] }));
			p.data.splice(1, 0, run.offered);
			return p;
		},
		arrivals: (run, key) => perClient(run, key, "arrivals"),
		amplification: (run, key) => perClient(run, key, "amplification"),
		in_flight: (run, key) => perClient(run, key, "in_flight"),
		short_circuits: (run, key) => perClient(run, key, "short_circuits", c => c.guarded),
		budget: (run, key) => perClient(run, key, "budget"),
		latency: (run, key) => latency(run, key, "p50", "p99"),
		failures: (run, key) => latency(run, key, "failure_p50", "failure_p99"),

		// outcomes stacks: each line is the sum of its own and those below.
		outcomes: (run, key, client) => {
			const bands = run.clients[client].bands || [];
			const sums = [];
			bands.forEach((b, i) => sums.push(b.values.map((v, n) => v == null ? null : v + (i ? sums[i - 1][n] : 0))));
			const order = bands.map((b, i) => i).reverse(); // the highest first, so that the lower ones cover it
			const most = Math.max(1, ...run.clients.flatMap(c => {
				const all = (c.bands || []).map(b => b.values);
				return run.x.map((x, n) => all.reduce((sum, v) => sum + (v[n] || 0), 0));
			}));
			const series = order.map(i => ({
				label: bands[i].name, fill: outcomeColor(bands[i].key), stroke: outcomeColor(bands[i].key), width: 0,
				points: { show: false }, value: (u, v, s, n) => plain(n == null ? null : bands[i].values[n]),
			}));
			return {
				options: overTime(run, key, series, {
					scales: { y: { range: () => [0, most * 1.05] } },
					cursor: { points: { show: false } },
					hooks: { draw: [shading(run, true)], drawClear: [] },
				}),
				data: [run.x, ...order.map(i => sums[i])],
			};
		},

		// breaker paints a band for each client that has one.
		breaker: (run, key) => {
			const rows = run.clients.map((c, i) => [c, i]).filter(([c]) => c.guarded);
			const colors = { closed: "closed", open: "open", "half-open": "half" };
			const stateAt = (c, t) => ((c.states || []).find(s => t >= s.from && t < s.to) || {});
			const paint = u => {
				const { ctx, bbox } = u, height = bbox.height / rows.length;
				ctx.save();
				ctx.beginPath();
				ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
				ctx.clip();
				rows.forEach(([c], n) => {
					const top = bbox.top + n * height + height * 0.15;
					(c.states || []).forEach(s => {
						const x = u.valToPos(s.from, "x", true), end = u.valToPos(s.to, "x", true);
						ctx.fillStyle = style(colors[s.state] || "other");
						ctx.fillRect(x, top, Math.max(end - x, 1), height * 0.7);
					});
					ctx.fillStyle = style("probe");
					(c.probes || []).forEach(t => ctx.fillRect(u.valToPos(t, "x", true) - devicePixelRatio / 2, top + height * 0.42, devicePixelRatio, height * 0.28));
				});
				ctx.restore();
			};
			const options = overTime(run, key, rows.map(([c, i]) => line(c.name, clientColor(i), {
				paths: () => null,
				value: (u, v, s, n) => {
					if (n == null) return "–";
					const at = stateAt(c, run.x[n]);
					return (at.state || "–") + (at.reason ? " (" + at.reason.replaceAll("_", " ") + ")" : "");
				},
			})), { scales: { y: { range: () => [0, 1] } }, cursor: { points: { show: false } }, hooks: { draw: [paint] } });
			options.axes[1] = axis({ size: 52, values: (u, v) => v.map(() => ""), grid: { show: false }, ticks: { show: false } });
			return { options, data: [run.x, ...rows.map(() => run.x.map(() => 0))] };
		},

		percentiles: run => ({
			options: {
				height: 185,
				scales: { x: { time: false }, y: { ...logarithmic.scales.y } },
				series: [{ label: "percentile", value: (u, v) => v == null ? "–" : share(v) },
					...run.clients.map((c, i) => line(c.name, clientColor(i), { value: (u, v) => ms(v) }))],
				axes: [axis({ size: 30, splits: () => run.nines.filter(n => Math.abs(n - Math.round(n)) < 1e-6 && n > 0).concat([0, 0.301]).sort((a, b) => a - b), values: (u, v) => v.map(x => x === 0.301 ? "50 %" : share(x)) }),
					axis({ size: 52, ...logarithmic.y })],
				cursor: { points: { size: 6 } },
			},
			data: [run.nines, ...run.clients.map(c => c.percentiles.map(v => v > 0 ? v : v == null ? null : 0.001))],
		}),

		sweep: run => ({
			options: {
				height: 185,
				scales: { x: { time: false }, y: { range: (u, min, max) => [0, Math.max(max * 1.08, 1)] } },
				series: [{ label: "offered", value: (u, v) => v == null ? "–" : plain(v) + "/s" },
					line("all useful", style("offered"), { dash: [5, 4] }),
					...run.clients.map((c, i) => line(c.name, clientColor(i), { points: { show: true, size: 5 } }))],
				axes: [axis({ size: 30, values: (u, v) => v.map(x => x + "/s") }), axis({ size: 52 })],
			},
			data: [run.sweep.offered, run.sweep.offered, ...run.sweep.goodput],
		}),
	};

	const drawn = new Map(); // figure → plot
	const width = figure => {
		const s = getComputedStyle(figure);
		return Math.max(figure.clientWidth - parseFloat(s.paddingLeft) - parseFloat(s.paddingRight), 200);
	};
	const draw = figure => {
		const index = figure.closest("section").dataset.index, run = runs[index];
		if (!run.clients) return;
		const { options, data } = makers[figure.dataset.plot](run, "run-" + index, figure.dataset.client);
		const old = drawn.get(figure);
		if (old) old.destroy();
		drawn.set(figure, new uPlot({ ...options, width: width(figure) }, data, figure));
	};

	const figures = [...document.querySelectorAll("figure[data-plot]")];
	if (runs.length === 1) {
		figures.forEach(draw);
	} else { // many: only what is looked at
		const seen = new IntersectionObserver(entries => entries.forEach(e => {
			if (!e.isIntersecting) return;
			seen.unobserve(e.target);
			draw(e.target);
		}), { rootMargin: "300px" });
		figures.forEach(f => { f.style.minHeight = "230px"; seen.observe(f); });
	}
	const resized = new ResizeObserver(entries => entries.forEach(e => {
		const plot = drawn.get(e.target), w = width(e.target);
		if (plot && plot.width !== w) plot.setSize({ width: w, height: plot.height });
	}));
	figures.forEach(f => resized.observe(f));
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...drawn.keys()].forEach(draw));
	document.documentElement.dataset.plots = "ready";
})();
