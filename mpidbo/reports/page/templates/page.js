"use strict";
(() => {
  const MAX_TIP_RUNS = 12, MAX_MARKED_POINTS = 25;
  const COLORS = 8, DASHES = [[], [7, 4], [2, 3]], PREFIXES = ["", " k", " M", " G", " T"];
  const find = (id) => document.getElementById(id);

  let { version, curves: data } = JSON.parse(find("data").textContent);
  const chosen = { metrics: null, hidden: new Set(), axis: "iterations", scale: "auto", range: null };
  let charts = [];

  // ---- numbers

  const trimmed = (text) => text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
  function value(number) {
    if (number === 0) return "0";
    const size = Math.abs(number);
    const text = size >= 1e6 || size < 1e-3 ? number.toExponential(4) : number.toPrecision(6);
    return trimmed(text).replace("e+", "e").replace(/-/g, "−");
  }
  const grouped = (number) => (Number.isInteger(number) ? number.toLocaleString("en") : value(number));
  function abbreviated(splits) {
    const largest = Math.max(...splits.map(Math.abs));
    let power = 0;
    while (largest / 1000 ** power >= 1e4 && power < PREFIXES.length - 1) power += 1;
    return splits.map((split) =>
      split === 0 ? "0" : trimmed((split / 1000 ** power).toPrecision(6)) + PREFIXES[power]);
  }
  function ticks(splits, step) {
    let digits = 0;
    while (digits < 12 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6) digits += 1;
    const largest = Math.max(...splits.map(Math.abs));
    if (largest < 1e5 && digits <= 4) return splits.map((split) => split.toFixed(digits).replace("-", "−"));
    return splits.map((split) => {
      const places = split === 0 ? 0 : Math.floor(Math.log10(Math.abs(split))) - Math.floor(Math.log10(step)) + 1;
      return split === 0 ? "0" : trimmed(split.toExponential(Math.max(0, Math.min(places, 8)))).replace("e+", "e").replace(/-/g, "−");
    });
  }
  // Where an axis of exponents has ticks: at powers of ten, between few of them also at 2 and 5 times one.
  function exponents(u, axis, low, high) {
    const most = Math.max(2, Math.floor(u.bbox.height / devicePixelRatio / 30));
    const stride = [1, 2, 5, 10, 20, 50, 100, 200].find((decades) => decades * most >= high - low) ?? 500;
    const factors = (high - low) * 3 <= most ? [1, 2, 5] : [1];
    const found = [];
    for (let power = Math.floor(low / stride) * stride; power <= high; power += stride) {
      found.push(...factors.map((factor) => power + Math.log10(factor)));
    }
    const inside = found.filter((exponent) => exponent >= low && exponent <= high);
    return inside.length > 1 ? inside : [1, 3, 5].map((part) => low + ((high - low) * part) / 6);
  }

  // ---- controls

  function chip(text, checked, toggle, swatch) {
    const label = document.createElement("label"), box = document.createElement("input");
    label.className = "chip";
    box.type = "checkbox";
    box.checked = checked;
    box.addEventListener("change", () => { toggle(box.checked); draw(); });
    label.append(box, ...(swatch ? [swatch] : []), text);
    return label;
  }
  function swatch(color) {
    const mark = document.createElement("span");
    mark.className = `swatch c${color % COLORS} d${Math.floor(color / COLORS) % DASHES.length}`;
    return mark;
  }
  const shownMetrics = () =>
    data.metrics.filter((metric) => (chosen.metrics ? chosen.metrics.has(metric.name) : metric.shown));
  const shownRuns = () => data.runs.filter((run) => !chosen.hidden.has(run.number));

  function controls() {
    find("metrics").replaceChildren(...data.metrics.map((metric) =>
      chip(metric.name, shownMetrics().includes(metric), (on) => {
        chosen.metrics ??= new Set(shownMetrics().map((one) => one.name));
        chosen.metrics[on ? "add" : "delete"](metric.name);
      })));
    find("runs").replaceChildren(...(data.runs.length < 2 ? [] : data.runs.map((run) =>
      chip(run.label, !chosen.hidden.has(run.number), (on) => {
        chosen.hidden[on ? "delete" : "add"](run.number);
      }, swatch(run.color)))));
    if (!data.axes.some((axis) => axis.name === chosen.axis)) chosen.axis = "iterations";
    find("axis").replaceChildren(...data.axes.map((axis) =>
      new Option(axis.label, axis.name, false, axis.name === chosen.axis)));
  }

  // ---- curves

  // How the values of a panel are drawn: as they are, in a large unit, or as exponents of ten, since uPlot has no
  // axis for more than 17 digits.
  function measure(log, values) {
    if (log) return { to: (y) => (y > 0 ? Math.log10(y) : null), from: (exponent) => 10 ** exponent };
    const largest = values.reduce((most, y) => Math.max(most, Math.abs(y)), 0);
    const unit = largest < 1e12 ? 1 : 10 ** Math.floor(Math.log10(largest));
    return { to: (y) => (y === null ? null : y / unit), from: (y) => y * unit };
  }

  // The values of a run that can be drawn, with x strictly increasing.
  function points(run, metric, to) {
    const x = run.x[chosen.axis], y = run.y[metric.name];
    if (!x || !y) return null;
    const found = [[], []];
    x.forEach((at, i) => {
      const last = found[0].length - 1;
      if (at === null || (last >= 0 && at < found[0][last])) return;
      const here = last >= 0 && at === found[0][last] ? last : last + 1;
      found[0][here] = at;
      found[1][here] = to(y[i]);
    });
    return found;
  }

  function isLog(metric) {
    if (chosen.scale !== "auto") return chosen.scale === "log";
    return metric.log;
  }

  function panel(metric) {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const label = document.createElement("span"), note = document.createElement("p");
    figure.className = "panel";
    figure.dataset.metric = metric.name;
    caption.append(metric.name, label);
    if (metric.label !== metric.name) label.textContent = metric.label;
    figure.append(caption);
    find("panels").append(figure);

    const having = shownRuns().filter((run) => run.y[metric.name] && run.x[chosen.axis]);
    const positive = having.some((run) => run.y[metric.name].some((y) => y > 0));
    const log = isLog(metric) && positive;
    const scale = measure(log, having.flatMap((run) => run.y[metric.name]));
    const drawn = having
      .map((run) => ({ run, xy: points(run, metric, scale.to) }))
      .filter(({ xy }) => xy[1].some((y) => y !== null));
    note.className = "note";
    note.textContent = notes(having, drawn, metric, log);
    if (drawn.length) charts.push(chart(figure, metric, drawn, log, scale));
    if (note.textContent) figure.append(note);
  }

  function notes(runs, drawn, metric, log) {
    if (!data.runs.some((run) => run.evaluations)) return "no evaluation yet";
    if (!drawn.length) return "nothing to draw: no run that is shown has a finite value";
    const said = [];
    const left = log ? runs.reduce((sum, run) => sum + run.y[metric.name].filter((y) => y !== null && y <= 0).length, 0) : 0;
    if (left) said.push(`${left} ${left === 1 ? "value" : "values"} of zero or less not drawn on a logarithmic axis`);
    const thinned = runs.filter((run) => run.evaluations > run.y[metric.name].length);
    if (drawn.some(({ run }) => metric.name in run.best)) said.push("circle: the best iterate");
    if (thinned.length) {
      const most = Math.max(...thinned.map((run) => run.evaluations));
      said.push(`of up to ${most.toLocaleString("en")} evaluations the extremes of each interval are drawn`);
    }
    return said.join("; ");
  }

  function chart(figure, metric, drawn, log, scale) {
    const style = getComputedStyle(document.documentElement);
    const css = (name) => style.getPropertyValue(name).trim();
    const joined = uPlot.join(drawn.map(({ xy }) => xy));
    const last = drawn.length - 1;
    const axis = {
      stroke: css("--quiet"), font: `12px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1, size: 5 }, gap: 4,
    };
    const options = {
      ...size(figure),
      legend: { show: false },
      cursor: {
        sync: { key: "curves" }, drag: { x: true, y: false },
        dataIdx: (u, series, hovered) => nearest(u.data[series], hovered),
      },
      scales: { x: { time: false } },
      axes: [
        { ...axis, size: 34, space: 60, values: (u, splits) => abbreviated(splits),
          label: data.axes.find((one) => one.name === chosen.axis).label, labelSize: 18, labelGap: 0,
          labelFont: axis.font },
        log
          ? { ...axis, size: width, splits: exponents, incrs: [1e-3, 1e3], space: 1,
              values: (u, splits) => splits.map((split) => value(Number((10 ** split).toPrecision(3)))) }
          : { ...axis, size: width, space: 28,
              values: (u, splits, index, space, step) => ticks(splits.map(scale.from), scale.from(step)) },
      ],
      series: [{}, ...drawn.map(({ run, xy }, i) => ({
        label: run.label, stroke: css(`--c${run.color % COLORS}`),
        width: 1.5 + (1.2 * (last - i)) / Math.max(2, last),
        dash: DASHES[Math.floor(run.color / COLORS) % DASHES.length],
        points: { show: xy[1].filter((y) => y !== null).length <= MAX_MARKED_POINTS, size: 5, fill: css(`--c${run.color % COLORS}`) },
      }))],
      hooks: { setCursor: [tip(drawn, scale.from)], setSelect: [zoomed], draw: [bests(metric, drawn, scale.to)] },
    };
    const made = new uPlot(options, joined, figure);
    made.over.addEventListener("dblclick", () => zoom(null));
    if (chosen.range) made.setScale("x", chosen.range);
    return { made, figure };
  }

  // A circle around the best iterate of each run that has one by this metric.
  function bests(metric, drawn, to) {
    return (u) => drawn.forEach(({ run }, i) => {
      const row = run.best[metric.name], { min, max } = u.scales.x;
      if (row === undefined) return;
      const x = run.x[chosen.axis][row], y = to(run.y[metric.name][row]);
      if (y === null || x < min || x > max) return;
      u.ctx.beginPath();
      u.ctx.arc(u.valToPos(x, "x", true), u.valToPos(y, "y", true), 6 * devicePixelRatio, 0, 2 * Math.PI);
      u.ctx.lineWidth = 2 * devicePixelRatio;
      u.ctx.strokeStyle = u.series[i + 1].stroke();
      u.ctx.stroke();
    });
  }

  const width = (u, values) => 16 + 7 * Math.max(3, ...(values ?? []).map((text) => (text ?? "").length));
  function size(figure) {
    const several = find("panels").clientWidth > 1.5 * figure.clientWidth;
    return { width: figure.clientWidth, height: several || figure.clientWidth < 500 ? 250 : 340 };
  }
  function nearest(values, at) {
    for (let away = 0; away < values.length; away += 1) {
      if (values[at - away] != null) return at - away;
      if (values[at + away] != null) return at + away;
    }
    return at;
  }

  function zoomed(u) {
    const { left, width: across } = u.select;
    if (across > 4) zoom({ min: u.posToVal(left, "x"), max: u.posToVal(left + across, "x") });
  }
  function zoom(range) {
    chosen.range = range;
    find("reset").hidden = range === null;
    setTimeout(draw, 0);
  }

  // What each run has at the cursor, beside it.
  function tip(drawn, from) {
    const box = document.createElement("div");
    box.className = "tip";
    box.hidden = true;
    return (u) => {
      const { left, top, idxs, idx } = u.cursor;
      box.hidden = left < 0 || idx == null || !u.over.matches(":hover");
      if (box.hidden) return;
      if (!box.isConnected) u.over.append(box);
      const rows = drawn
        .map(({ run }, i) => ({ run, y: u.data[i + 1][idxs[i + 1]] }))
        .filter(({ y }) => y != null)
        .map((row) => ({ ...row, away: Math.abs(u.valToPos(row.y, "y") - top) }))
        .sort((a, b) => a.away - b.away)
        .slice(0, MAX_TIP_RUNS)
        .sort((a, b) => b.y - a.y);
      const head = document.createElement("div");
      head.textContent = `${chosen.axis} ${grouped(u.data[0][idx])}`;
      box.replaceChildren(head, ...rows.map(({ run, y }) => {
        const line = document.createElement("div"), number = document.createElement("b");
        number.textContent = value(from(y));
        line.append(swatch(run.color));
        if (data.runs.length > 1) {
          const name = document.createElement("span");
          name.className = "name";
          name.textContent = run.label;
          line.append(name);
        }
        line.append(number);
        return line;
      }));
      const across = u.over.clientWidth;
      box.style.left = left < across / 2 ? `${left + 14}px` : "auto";
      box.style.right = left < across / 2 ? "auto" : `${across - left + 14}px`;
      box.style.top = `${Math.max(0, Math.min(top, u.over.clientHeight - box.offsetHeight))}px`;
    };
  }

  function draw() {
    charts.forEach(({ made }) => made.destroy());
    charts = [];
    find("panels").replaceChildren();
    shownMetrics().forEach(panel);
    if (!find("panels").childElementCount) {
      const note = document.createElement("p");
      note.className = "note";
      note.textContent = data.metrics.length ? "choose a metric above" : "no evaluation yet";
      find("panels").append(note);
    }
  }

  // ---- news of a run that continues

  async function poll(every) {
    const status = find("status");
    for (;;) {
      if (!document.hidden) {
        try {
          const answer = await fetch(`data?version=${encodeURIComponent(version)}`, { cache: "no-store" });
          if (answer.status === 200) {
            const news = await answer.json();
            version = news.version;
            show(news);
            status.textContent = news.error ?? `updated ${new Date().toLocaleTimeString()}`;
          }
        } catch {
          status.textContent = "the server has ended; the page shows what it last said";
        }
      }
      await new Promise((wait) => setTimeout(wait, every));
    }
  }
  function show(news) {
    if (news.error) return;
    document.title = news.title;
    find("title").textContent = news.title;
    const only = find("only")?.checked;
    find("above").innerHTML = news.above;
    find("below").innerHTML = news.below;
    if (only && find("only")) find("only").checked = true;
    data = news.curves;
    controls();
    draw();
  }

  find("axis").addEventListener("change", (event) => { chosen.axis = event.target.value; zoom(null); });
  find("scale").addEventListener("change", (event) => { chosen.scale = event.target.value; draw(); });
  find("reset").addEventListener("click", () => zoom(null));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let waiting = 0;
  new ResizeObserver(() => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => charts.forEach(({ made, figure }) => made.setSize(size(figure))));
  }).observe(find("panels"));
  controls();
  draw();
  const every = Number(document.body.dataset.poll);
  if (every) poll(every);
})();
