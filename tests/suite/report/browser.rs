//! The page in a browser.

use super::*;
use crate::support::left_out::left_out_without;

/// The narrowest telephone that is common, in CSS pixels.
const NARROW: u32 = 390;
const WIDE: u32 = 1_400;

/// Runs Chromium over `page` without a window.
fn browse(files: &Files, page: &Path, width: u32, arguments: &[&str]) -> Ran {
    let mut command = std::process::Command::new("chromium");
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    command.arg(format!("--user-data-dir={}", files.path("profile").display()));
    command.arg(format!("--window-size={width},900")).args(arguments);
    command.arg(format!("file://{}", page.display()));
    run_command(command)
}

/// What a script finds out in the page, whose own policy would not let it run.
fn measured(files: &Files, page: &Path, width: u32) -> Value {
    let script = "<script>var root = document.documentElement; parent.postMessage(JSON.stringify({\
        inner: window.innerWidth, scroll: root.scrollWidth, \
        tables: document.querySelectorAll('table').length}), '*');</script>";
    let policy = "<meta http-equiv=\"Content-Security-Policy\"";
    let content = read(page);
    assert!(content.contains(policy), "the page has a policy");
    let opened =
        content.replace(policy, "<meta name=\"was-policy\"").replace("</body>", &format!("{script}</body>"));
    files.write("measured.html", opened);
    // No window is as narrow as a telephone; a frame is.
    let frame = format!(
        "<script>onmessage = function (it) {{ document.documentElement.dataset.found = it.data; }};</script>\
         <iframe width={width} height=900 frameborder=0 src=measured.html></iframe>"
    );
    let ran =
        browse(files, &files.write("frame.html", frame), WIDE, &["--dump-dom", "--virtual-time-budget=5000"]);
    let (_, found) = ran.stdout.split_once("data-found=\"").unwrap_or_else(|| panic!("{}", ran.stderr));
    let found = found.split('"').next().unwrap_or_default().replace("&quot;", "\"");
    serde_json::from_str(&found).unwrap_or_else(|error| panic!("{error}: {found}"))
}

#[test]
fn a_page_fits_a_telephone_and_a_desk() {
    if left_out_without(&["chromium"]) {
        return;
    }
    let files = Files::new();
    let page = page_of_demo(&files);
    for width in [NARROW, WIDE] {
        let found = measured(&files, &page, width);
        assert_eq!(found["inner"], width, "{found}");
        assert!(found["scroll"].as_u64() <= Some(width.into()), "it is wider than its window: {found}");
        assert!(found["tables"].as_u64() > Some(5), "{found}");
    }
}

#[test]
fn a_page_runs_no_script_and_is_drawn_in_light_and_dark() {
    if left_out_without(&["chromium"]) {
        return;
    }
    let files = Files::new();
    let traces = files.write("run.jsonl", hostile_run());
    let page = files.path("run.html");
    report(&traces, &["-o", text(&page)]);
    let dom = browse(&files, &page, WIDE, &["--dump-dom"]).stdout;
    assert!(dom.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !dom.contains("<script"), "{dom}");
    // Were there a script after all, the policy would not let it run.
    let with_script = read(&page).replace("</body>", "<script>document.title = 'ran'</script></body>");
    let changed = files.write("with-script.html", with_script);
    let dom = browse(&files, &changed, WIDE, &["--dump-dom"]).stdout;
    assert!(!dom.contains("<title>ran</title>"), "the policy holds");

    let mut pictures = Vec::new();
    for scheme in ["1", "0"] {
        let picture = files.path(&format!("picture-{scheme}.png"));
        let to = format!("--screenshot={}", picture.display());
        browse(&files, &page, WIDE, &[&to, &format!("--blink-settings=preferredColorScheme={scheme}")]);
        pictures.push(std::fs::read(&picture).expect("a picture is taken"));
    }
    assert!(pictures.iter().all(|picture| picture.len() > 20_000), "something is drawn");
    assert_ne!(pictures[0], pictures[1], "light and dark differ");
}

#[test]
fn a_page_on_paper_is_dark_on_white_and_folds_nothing() {
    if left_out_without(&["chromium", "pdftotext", "pdftoppm"]) {
        return;
    }
    let files = Files::new();
    let results = files.path("fleet.jsonl");
    let open = listener();
    let targets = ["127.0.0.1:1".to_owned(), open.local_addr().expect("an address").to_string()];
    let arguments = ["--no-tls", "--no-udp", "--rounds", "1", "--timeout", "1s", "--output", text(&results)];
    run(&[&["probe", &targets[0], &targets[1]], &arguments[..]].concat());
    let page = files.path("fleet.html");
    report(&results, &["-o", text(&page)]);
    let pdf = files.path("fleet.pdf");
    let to = format!("--print-to-pdf={}", pdf.display());
    browse(&files, &page, WIDE, &[&to, "--blink-settings=preferredColorScheme=0", "--no-pdf-header-footer"]);

    let mut command = std::process::Command::new("pdftotext");
    command.arg("-layout").arg(&pdf).arg("-");
    let said = run_command(command).stdout;
    let whole = read(&page);
    let (_, folded) = whole.split_once("</summary>").expect("something is folded");
    let (_, folded) = folded.split_once("<li>").expect("a list");
    let first = folded.split('<').next().expect("a name").trim();
    assert!(said.contains("tcp-refused") && said.contains(first), "{first} is not on paper: {said}");

    let picture = files.path("paper");
    let mut command = std::process::Command::new("pdftoppm");
    command.args(["-r", "20", "-l", "1", "-singlefile"]).arg(&pdf).arg(&picture);
    run_command(command);
    let picture = std::fs::read(picture.with_extension("ppm")).expect("a picture of the first sheet");
    let light = picture.iter().rev().take(picture.len() - 20).filter(|channel| **channel > 200).count();
    assert!(light * 10 > picture.len() * 8, "{light} of {} are light", picture.len());
}
