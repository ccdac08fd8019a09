// Keeps the page up to date from the stream of changes. Everything that is shown is set as text, never as markup.
"use strict";

(() => {
  const SIGNS = {
    ok: ["ok", "✓", "ok"],
    failed: ["failed", "✗", "failed"],
    unfinished: ["cut", "✂", "cut"],
    skipped: ["skipped", "–", "skipped"],
  };
  const ENDINGS = {
    fin: "FIN",
    reset: "RST",
    timeout: "timeout",
    alert: "TLS alert",
    "mcs-ultimatum": "MCS ultimatum",
  };
  // More verdicts at once than these are announced as a number.
  const MOST_ANNOUNCED = 3;

  const page = (id) => document.getElementById(id);
  const shown = new Map();
  let filter = { show: "all", find: "" };
  let experiment = "";

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function sign(text) {
    const made = element("span", "sign", text);
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function duration(us) {
    if (us < 1e3) return `${us} µs`;
    if (us < 1e6) return `${Math.floor(us / 1e3)} ms`;
    return `${(us / 1e6).toFixed(1)} s`;
  }

  function size(bytes) {
    if (bytes < 1e3) return `${bytes} B`;
    if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
    if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
    return `${(bytes / 1e9).toFixed(1)} GB`;
  }

  function classOf(session) {
    if (!session.is_over) return "running";
    if (!session.verdict) return "plain";
    if (session.verdict.is_fault) return "bad";
    return session.verdict.is_good ? "good" : "plain";
  }

  function phaseItem(phase) {
    const [className, mark, word] = SIGNS[phase.outcome] || ["skipped", "?", phase.outcome];
    const item = element("li", className);
    item.append(sign(mark), element("span", "unseen", `${word} `));
    const leg = phase.leg === "client" || phase.leg === "server" ? ` ${phase.leg}` : "";
    item.append(`${phase.inferred ? "~" : ""}${phase.phase}${leg} `);
    item.append(element("span", "time", phase.us === 0 ? "" : duration(phase.us)));
    return item;
  }

  function facts(session) {
    const told = [session.target];
    const end = session.end;
    if (end) {
      const who = end.closed_by === "proxy" ? "rdpscope" : `the ${end.closed_by}`;
      told.push(`after ${duration(end.us)}`, `ended by ${who} (${ENDINGS[end.how] || end.how})`);
      told.push(`${size(end.bytes_up)} up, ${size(end.bytes_down)} down`);
    }
    if (session.altered > 0) told.push(`${session.altered} altered`);
    return `${told.join(" · ")} `;
  }

  // The parts of a session's item that change are kept, so that the focus stays where it is.
  function newEntry(session) {
    const item = element("li", "session");
    item.dataset.id = session.id;
    const who = element("p", "who");
    const started = new Date(session.started_ms);
    const time = element("time", "", started.toLocaleTimeString());
    time.dateTime = started.toISOString();
    const client = element("span", "client");
    who.append(element("strong", "", `#${session.number}`), " ", time, " ", client);
    const phases = element("ol", "phases");
    phases.setAttribute("aria-label", "Phases");
    const verdict = element("p", "verdict");
    const told = element("span");
    const link = element("a", "", "report");
    link.href = `/report/${encodeURIComponent(session.id)}`;
    link.append(element("span", "unseen", ` of session ${session.number}`));
    const factsLine = element("p", "facts");
    factsLine.append(told, link);
    item.append(who, phases, verdict, factsLine);
    return { item, who, client, phases, verdict, told, arm: null, now: null, drawn: "", session };
  }

  function draw(entry, session) {
    entry.session = session;
    entry.item.className = `session ${classOf(session)}`;
    setText(entry.client, session.client || "");
    if (session.arm && !entry.arm) {
      entry.arm = element("span", "arm", `arm ${session.arm}`);
      entry.who.append(" ", entry.arm);
    }
    const drawn = JSON.stringify([session.phases, session.current]);
    if (drawn !== entry.drawn) {
      entry.drawn = drawn;
      const items = session.phases.map(phaseItem);
      if (session.current) {
        const now = element("li", "now");
        now.append(sign("…"), session.current);
        items.push(now);
      }
      entry.phases.replaceChildren(...items);
    }
    const verdict = session.verdict;
    const words = verdict ? ` ${verdict.confidence}: ${verdict.summary}` : session.is_over ? "" : "running";
    if (entry.verdict.textContent !== (verdict ? verdict.id : "") + words) {
      entry.verdict.replaceChildren(...(verdict ? [element("strong", "", verdict.id)] : []), words);
    }
    setText(entry.told, facts(session));
    entry.item.hidden = !matches(session);
  }

  function matches(session) {
    if (filter.show === "running" && session.is_over) return false;
    if (filter.show === "faults" && !(session.verdict && session.verdict.is_fault)) return false;
    if (!filter.find) return true;
    const words = [`#${session.number}`, session.client, session.target, session.arm];
    if (session.verdict) words.push(session.verdict.id, session.verdict.summary);
    if (session.current) words.push(session.current);
    return words.join(" ").toLowerCase().includes(filter.find);
  }

  function apply(change, isEverything) {
    const list = page("sessions");
    if (isEverything) {
      shown.clear();
      list.replaceChildren();
    }
    const ended = [];
    // Everything comes with the newest first; of changes the oldest comes first.
    const sessions = isEverything ? [...change.sessions].reverse() : change.sessions;
    for (const session of sessions) {
      let entry = shown.get(session.id);
      if (!entry) {
        entry = newEntry(session);
        shown.set(session.id, entry);
        list.prepend(entry.item);
      } else if (session.is_over && !entry.session.is_over) {
        ended.push(session);
      }
      draw(entry, session);
    }
    for (const id of change.gone) {
      const entry = shown.get(id);
      if (entry) entry.item.remove();
      shown.delete(id);
    }
    drawTotals(change.totals);
    if (change.experiment) drawExperiment(change.experiment);
    page("nothing").hidden = shown.size > 0;
    countMatches();
    announce(ended);
  }

  function announce(ended) {
    if (ended.length === 0) return;
    const say = (session) => `Session ${session.number}: ${session.verdict ? session.verdict.id : "ended"}.`;
    const words = ended.length > MOST_ANNOUNCED ? `${ended.length} sessions ended.` : ended.map(say).join(" ");
    page("said").textContent = words;
  }

  function drawTotals(totals) {
    const total = (count, word) => {
      const item = element("li");
      item.append(element("strong", "", String(count)), ` ${word}`);
      return item;
    };
    const items = [total(totals.active, "running")];
    for (const [verdict, count] of Object.entries(totals.verdicts)) items.push(total(count, verdict));
    page("totals").replaceChildren(...items);
    const elsewhere = [];
    if (totals.left > 0) {
      elsewhere.push(`${totals.left} older sessions have left this page; their traces are kept.`);
    }
    if (totals.unseen > 0) elsewhere.push(`${totals.unseen} more sessions run than there is room for here.`);
    setText(page("elsewhere"), elsewhere.join(" "));
    document.title = `${totals.active} running – rdpscope`;
  }

  function drawExperiment(told) {
    const now = JSON.stringify(told);
    if (now === experiment) return;
    experiment = now;
    page("experiment").hidden = false;
    const attempt = told.attempt;
    page("attempt").hidden = !attempt;
    if (attempt) {
      page("attempt").elements.turn.value = String(attempt.turn);
      const again = attempt.turn === 1 ? "" : " again";
      const ask = attempt.connect_to ? ` Connect${again} to ${attempt.connect_to}.` : "";
      const words = `Attempt ${attempt.number} of ${attempt.total}, arm ${attempt.letter}: ${attempt.description}.${ask}`;
      setText(page("attempt-words"), words);
      page("attempt").querySelector("button").disabled = false;
    }
    page("matrix").replaceChildren(matrix(told), conclusion(told), ...told.confounders.map(confounder));
  }

  function matrix(told) {
    const table = element("table");
    table.append(element("caption", "", `What was varied: ${told.factor}`));
    const columns = Math.max(0, ...told.arms.map((arm) => arm.runs.length));
    const head = element("tr");
    for (const text of ["arm", ...Array.from({ length: columns }, (_, place) => String(place + 1))]) {
      const cell = element("th", "", text);
      cell.scope = "col";
      head.append(cell);
    }
    const thead = element("thead");
    thead.append(head);
    const body = element("tbody");
    for (const arm of told.arms) {
      const row = element("tr");
      const name = element("th", "", `${arm.name} `);
      name.scope = "row";
      name.append(element("span", "hint", arm.description));
      row.append(name, ...arm.runs.map(run));
      body.append(row);
    }
    table.append(thead, body);
    return table;
  }

  function run(told) {
    const peaceful = ["client-prompted", "client-closed"];
    const isHealthy = told.verdict === "healthy";
    const className = isHealthy ? "good" : peaceful.includes(told.verdict) ? "plain" : "bad";
    const cell = element("td", className);
    const link = element("a");
    link.href = `/report/${encodeURIComponent(told.session)}`;
    link.append(sign({ good: "✓", bad: "✗", plain: "–" }[className]), `${told.began || "nothing"} ${told.verdict}`);
    cell.append(link);
    return cell;
  }

  function conclusion(told) {
    const { effect, guilty, because } = told.conclusion;
    const made = element("p", "conclusion");
    made.append(element("strong", "", guilty ? `${effect}: ${guilty}` : effect));
    made.append(`${told.attempt ? " so far" : ""}. ${because}`);
    return made;
  }

  function confounder(told) {
    return element("p", "hint", `${told.id}: ${told.text}`);
  }

  function countMatches() {
    const isFiltered = filter.show !== "all" || filter.find !== "";
    let count = 0;
    for (const entry of shown.values()) if (!entry.item.hidden) count += 1;
    setText(page("matches"), isFiltered ? `${count} of ${shown.size} shown` : "");
  }

  function refilter() {
    const form = page("filter");
    filter = { show: form.elements.show.value, find: page("find").value.trim().toLowerCase() };
    for (const entry of shown.values()) entry.item.hidden = !matches(entry.session);
    countMatches();
  }

  function state(text, isEnded) {
    const line = page("state");
    setText(line, text);
    line.classList.toggle("ended", isEnded);
  }

  page("filter").hidden = false;
  page("filter").addEventListener("input", refilter);
  page("filter").addEventListener("submit", (event) => event.preventDefault());
  page("attempt").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = page("attempt").querySelector("button");
    button.disabled = true;
    const turn = page("attempt").elements.turn.value;
    const answer = await fetch("/next", {
      method: "POST",
      body: new URLSearchParams({ turn }),
      redirect: "manual",
    }).catch(() => null);
    // Where it was done, the next attempt's words come by the stream.
    if (!answer || (!answer.ok && answer.type !== "opaqueredirect")) button.disabled = false;
  });

  const stream = new EventSource("/events");
  stream.addEventListener("open", () => state("live", false));
  stream.addEventListener("everything", (event) => apply(JSON.parse(event.data), true));
  stream.addEventListener("change", (event) => apply(JSON.parse(event.data), false));
  stream.addEventListener("end", () => {
    stream.close();
    state("rdpscope has ended: this is the last it showed", true);
    page("attempt").hidden = true;
  });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) state("not live: load this page again", true);
    else state("rdpscope does not answer; trying again", true);
  });
})();
